// SPDX-License-Identifier: Apache-2.0
//
// Other controllers for real guests: the simulator's rules of theirs (host-controller/sim), fed by
// the balloon's statistics. README.md says what is simplified.
#pragma once

#include "tests/bench/handover.h"

// One controller in one round.
typedef struct Peer Peer;

int peers_count(void);
// `which` of them, for one round.
Peer *peer_new(int which);
// NULL does nothing.
void peer_free(Peer *peer);

G_DEFINE_AUTOPTR_CLEANUP_FUNC(Peer, peer_free)

// Lives as long as the peer.
const HandoverSteering *peer_steering(const Peer *peer);
