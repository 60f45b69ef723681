// SPDX-License-Identifier: Apache-2.0
//
// What is of interest in the XML of a running domain.
//
// Source: libvirt, "Domain XML format" (formatdomain), elements memory, channel, memballoon.
#pragma once

#include <glib.h>
#include <stdbool.h>
#include <stdint.h>

// Clear with domain_xml_clear(). All zero is one of which nothing is known.
typedef struct DomainXml {
    int64_t base_bytes;     // memory it was started with
    int64_t plugged_bytes;  // and what was plugged in: DIMMs, and what virtio-mem has of its size
    bool has_balloon;       // a virtio balloon
    int64_t stats_period_s; // how often its driver is asked for statistics; 0: not at all
    char *agent_path;       // socket of the channel DOMAIN_XML_AGENT_CHANNEL; NULL: it has none
} DomainXml;

// The virtio-serial port on which the agent is.
#define DOMAIN_XML_AGENT_CHANNEL "org.aerostat.memory.0"

// Reads the live XML `text` into `*domain`, which is cleared first. PROTOCOL_ERROR_SYNTAX when it
// is no such XML, or a size in it makes no sense; `*domain` is then all zero.
bool domain_xml_parse(const char *text, DomainXml *domain, GError **error);
void domain_xml_clear(DomainXml *domain);
