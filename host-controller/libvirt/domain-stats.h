// SPDX-License-Identifier: Apache-2.0
//
// The statistics that a guest's balloon driver gives, as the little of QEMU's object model that
// leads to them: the balloon is /machine/peripheral/balloon0, with the properties guest-stats and
// guest-stats-polling-interval. There is nothing else.
//
// Source: QEMU, docs/interop/virtio-balloon-stats; libvirt, virDomainMemoryStatTags.
#pragma once

#include "protocol/qmp.h"

// Handlers of qom-list, qom-get and qom-set for domain_commands; the context is a DomainTask.
QmpHandler domain_stats_list;
QmpHandler domain_stats_get;
QmpHandler domain_stats_set;

extern const QmpArgument domain_stats_list_arguments[];
extern const QmpArgument domain_stats_get_arguments[];
extern const QmpArgument domain_stats_set_arguments[];
