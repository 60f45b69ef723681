// SPDX-License-Identifier: Apache-2.0
#include "tests/support/fake-guest.h"

void fake_guest_init(FakeGuest *guest, FakeQemu *qemu)
{
    int64_t part = fake_qemu_size_bytes(qemu) / 20;
    *guest = (FakeGuest){
        .qemu = qemu,
        .kernel_bytes = part,
        .used_bytes = part,
        .goal_bytes = part,
        .at_us = g_get_monotonic_time(),
    };
}

int64_t fake_guest_capacity_bytes(const FakeGuest *guest)
{
    return MAX(fake_qemu_actual_bytes(guest->qemu) - guest->kernel_bytes, 0);
}

bool fake_guest_advance(FakeGuest *guest, int64_t now_us)
{
    int64_t elapsed_us = now_us - guest->at_us;
    int64_t room = fake_guest_capacity_bytes(guest) - guest->used_bytes;
    guest->at_us = now_us;
    guest->shortage_bytes = MAX(guest->shortage_bytes, -room);
    int64_t could_take = guest->growth_bytes_per_s / 1000 * elapsed_us / 1000;
    int64_t wanted = CLAMP(guest->goal_bytes - guest->used_bytes, 0, could_take);
    int64_t taken = CLAMP(room, 0, wanted);
    guest->used_bytes += taken;
    if (taken < wanted) {
        guest->stall_us += elapsed_us;
    }
    return guest->used_bytes < guest->goal_bytes && guest->growth_bytes_per_s > 0;
}

void fake_guest_report(const FakeGuest *guest, MemoryReport *report)
{
    int64_t size = fake_qemu_size_bytes(guest->qemu);
    int64_t capacity = fake_guest_capacity_bytes(guest);
    int64_t available = MAX(capacity - guest->used_bytes, 0);
    int64_t cached = MIN(guest->cache_bytes, available);
    *report = (MemoryReport){
        .monotonic_us = guest->at_us,
        .boot_id = "b0071d00-0000-4000-8000-000000000000",
        .has_deflate_on_oom = true,
        .deflate_on_oom = guest->deflate_on_oom,
    };
    for (MemoryReportField field = 0; field < REPORT_FIELD_COUNT; field++) {
        memory_report_set(report, field, 0);
    }
    memory_report_set(report, REPORT_MEMORY_TOTAL,
                      guest->deflate_on_oom ? size - guest->kernel_bytes : capacity);
    memory_report_set(report, REPORT_MEMORY_AVAILABLE, available);
    memory_report_set(report, REPORT_MEMORY_FREE, available - cached);
    memory_report_set(report, REPORT_MEMORY_CACHED, cached);
    memory_report_set(report, REPORT_MEMORY_ANONYMOUS, guest->used_bytes);
    memory_report_set(report, REPORT_MEMORY_SWAP_TOTAL, guest->swap_total_bytes);
    memory_report_set(report, REPORT_MEMORY_SWAP_FREE,
                      guest->swap_total_bytes - guest->swap_used_bytes);
    memory_report_set(report, REPORT_PRESSURE_SOME_TOTAL, guest->stall_us);
    memory_report_set(report, REPORT_BALLOON, size - fake_qemu_actual_bytes(guest->qemu));
    for (MemoryReportField field = REPORT_PRESSURE_SOME_AVG10;
         guest->without_psi && field <= REPORT_PRESSURE_FULL_TOTAL; field++) {
        report->present &= ~(UINT64_C(1) << field);
    }
}
