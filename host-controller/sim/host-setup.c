// SPDX-License-Identifier: Apache-2.0
#include "host-controller/sim/host-setup.h"

#include "host-controller/sim/quantity.h"

void guest_setup_free(GuestSetup *setup)
{
    if (setup) {
        workload_clear(&setup->workload);
        g_free(setup->name);
        g_free(setup);
    }
}

static void free_guest_setup(gpointer data)
{
    guest_setup_free(data);
}

HostSetup *host_setup_new(void)
{
    HostSetup *setup = g_new0(HostSetup, 1);
    setup->guests = g_ptr_array_new_with_free_func(free_guest_setup);
    setup->unmet_limit_kib_ms = INT64_MAX;
    return setup;
}

void host_setup_free(HostSetup *setup)
{
    if (setup) {
        g_ptr_array_unref(setup->guests);
        g_free(setup);
    }
}

int64_t host_setup_optimum_bytes(const HostSetup *setup, int64_t *needed_kib_ms)
{
    size_t count = setup->guests->len;
    CurveCursor *anonymous = g_new0(CurveCursor, count);
    CurveCursor *working_set = g_new0(CurveCursor, count);
    int64_t most = 0;
    *needed_kib_ms = 0;
    for (int64_t at_us = 0; at_us <= setup->duration_us; at_us += setup->tick_us) {
        int64_t sum = 0;
        for (size_t i = 0; i < count; i++) {
            const GuestSetup *guest = g_ptr_array_index(setup->guests, i);
            int64_t need = guest_traits_need_bytes(
                &guest->traits, curve_at(&guest->workload.anonymous, &anonymous[i], at_us));
            *needed_kib_ms += sim_scale(need / 1024, setup->tick_us, SIM_MS);
            need += curve_at(&guest->workload.working_set, &working_set[i], at_us);
            sum += sim_min(need, guest->traits.size_bytes);
        }
        most = sim_max(most, sum);
    }
    g_free(anonymous);
    g_free(working_set);
    return most;
}
