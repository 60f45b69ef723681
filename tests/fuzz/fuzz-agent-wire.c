// SPDX-License-Identifier: Apache-2.0
//
// Whatever a guest writes to its port, as the controller takes it in: lines, messages, reports, and
// the demand worked out from them.
#include "host-controller/policy/policy.h"
#include "protocol/framing.h"
#include "protocol/limits.h"
#include "protocol/qmp.h"
#include "protocol/report.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void take_report(const json_t *data, PolicyHistory *history)
{
    MemoryReport report;
    if (!data || !memory_report_from_json(data, &report, NULL)) {
        return;
    }
    // What was accepted can be passed on, and comes back the same.
    g_autoptr(json_t) again = memory_report_to_json(&report);
    MemoryReport copy;
    g_assert_true(memory_report_from_json(again, &copy, NULL));
    g_assert_true(copy.present == report.present);
    PolicySample sample = {
        .at_us = report.monotonic_us,
        .held_bytes = memory_report_get(&report, REPORT_BALLOON),
        .free_bytes = memory_report_get(&report, REPORT_MEMORY_FREE),
        .available_bytes = memory_report_get(&report, REPORT_MEMORY_AVAILABLE),
        .stall_us = memory_report_get(&report, REPORT_PRESSURE_SOME_TOTAL),
    };
    PolicyDemand demand;
    policy_demand_update(history, &sample, memory_report_get(&report, REPORT_MEMORY_TOTAL),
                         &demand);
    g_assert_cmpint(policy_demand_bytes(&demand), >=, 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    LineFramer framer;
    PolicyHistory history = {0};
    line_framer_init(&framer, LIMIT_AGENT_LINE_BYTES);
    const char *bytes = (const char *)data;
    LineEvent event;
    while ((event = line_framer_push(&framer, &bytes, &size)) != LINE_EVENT_NONE) {
        if (event != LINE_EVENT_LINE) {
            continue;
        }
        g_autoptr(json_t) root = json_message_parse(framer.line->str, framer.line->len, NULL);
        QmpMessage message;
        if (root && qmp_message_parse(root, &message, NULL) && message.type == QMP_MESSAGE_EVENT &&
            json_is_object(message.value)) {
            take_report(message.value, &history);
        }
    }
    line_framer_clear(&framer);
    return 0;
}
