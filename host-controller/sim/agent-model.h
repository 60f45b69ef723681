// SPDX-License-Identifier: Apache-2.0
//
// The agent in a guest: looks at its memory, decides what is worth a report, and may fail or lie.
//
// The rules are those of the real agent (docs/protocol.md): pressure when tasks stalled for more
// than 10 ms within half a second, trend when available memory will be gone within a second at the
// fastest growth of the last 5 to 10 s, change, heartbeat. Looking every 100 ms while memory moves
// or is tight, else four times until it could be gone at the fastest growth shown. That the real
// one's tripwire has it look more often is left out: the model is the worse one.
#pragma once

#include "host-controller/sim/guest-model.h"
#include "host-controller/sim/random.h"
#include "protocol/report.h"

// What one look at memory shows.
typedef struct AgentLevels {
    int64_t available_bytes;
    int64_t used_bytes;  // less a constant: moves with what processes take, not with the balloon
    int64_t paged_bytes; // swapped and refaulted since boot
    int64_t oom_kills;
} AgentLevels;

typedef struct AgentModel {
    int64_t change_bytes;
    bool started;
    bool dead;              // sends nothing
    WorkloadEventType lies; // what it says while `lying`
    bool lying;
    char boot_id[2];         // another letter at each boot
    int64_t silent_until_us; // booting
    SimRandom random;

    AgentLevels reported;
    AgentLevels sampled;
    int64_t reported_us;
    int64_t sampled_us;
    int64_t next_us;
    int64_t stall_window_start_us;
    int64_t stall_window_total_us;
    int64_t growth_window_start_us;
    int64_t growth_bytes_per_s[2]; // fastest of this window and of the one before
    int64_t shown_bytes_per_s;     // fastest of all, slowly forgotten
    bool running_out;
    bool tight; // looks as often as it can
    int64_t sequence;
} AgentModel;

void agent_model_init(AgentModel *agent, const GuestTraits *traits, uint64_t seed);

// Looks at the guest if it is time to. Returns whether a report is to be sent: then `report` is it.
bool agent_model_sample(AgentModel *agent, const GuestModel *guest, MemoryReport *report);

// Whether the agent has nothing to say but heartbeats as long as the guest is quiet.
bool agent_model_is_quiet(const AgentModel *agent);

// What befalls the agent. Reboots begin a new boot.
void agent_model_event(AgentModel *agent, WorkloadEventType type, int64_t now_us);

// Drift below this is no news to the agent's sampling.
int64_t agent_model_noise_bytes(const AgentModel *agent);
