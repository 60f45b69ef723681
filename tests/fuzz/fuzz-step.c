// SPDX-License-Identifier: Apache-2.0
//
// Whatever is fed to `aerostat-sim step`, hence to the policy: every line gets one line back, a
// plan for each guest or an error, and no number makes the policy overflow.
#include "host-controller/sim/step-filter.h"
#include "protocol/framing.h"
#include "protocol/json.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_answer(const char *answer)
{
    size_t length = strlen(answer);
    g_assert_true(length > 0 && strchr(answer, '\n') == answer + length - 1);
    g_autoptr(json_t) plan = json_message_parse(answer, length, NULL);
    g_assert_true(json_is_array(json_object_get(plan, "guests")) !=
                  json_is_object(json_object_get(plan, "error")));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    StepFilter *filter = step_filter_new();
    LineFramer framer;
    line_framer_init(&framer, STEP_LINE_BYTES);
    const char *bytes = (const char *)data;
    LineEvent event;
    while ((event = line_framer_push(&framer, &bytes, &size)) != LINE_EVENT_NONE) {
        if (event == LINE_EVENT_LINE) {
            g_autofree char *answer =
                step_filter_answer(filter, framer.line->str, framer.line->len, false);
            check_answer(answer);
        }
    }
    line_framer_clear(&framer);
    step_filter_free(filter);
    return 0;
}
