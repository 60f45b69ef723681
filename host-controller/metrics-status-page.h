// SPDX-License-Identifier: Apache-2.0
//
// The status page: the host and its guests as bars with their numbers, in plain HTML that loads
// nothing and runs no script. Guests that want looking at come first.
#pragma once

#include "host-controller/metrics-text.h"

// The Content-Security-Policy the page is served with.
#define METRICS_STATUS_PAGE_POLICY                                                                 \
    "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'"

MetricsStepFunc metrics_status_page_step;
