// SPDX-License-Identifier: Apache-2.0
//
// Chooses what runs the guests. /dev/kvm can be there, open, and still kill QEMU or hang the guest
// before its first line, so KVM is believed only after a short trial boot.
#pragma once

// Returns "kvm" or "tcg". The trial boot takes at most some seconds and uses `directory` for its
// files; its result is kept in `image_dir` until the host reboots or an hour has passed, so that a
// suite of many programs pays once. AEROSTAT_ACCEL=kvm or =tcg in the environment decides without a
// trial.
const char *accelerator_choose(const char *directory, const char *image_dir);
