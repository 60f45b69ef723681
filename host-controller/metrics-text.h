// SPDX-License-Identifier: Apache-2.0
//
// The metrics page: what a snapshot holds, in the text formats of Prometheus and OpenMetrics.
//
// Sources: https://prometheus.io/docs/instrumenting/exposition_formats/ (version 0.0.4) and the
// OpenMetrics specification 1.0.0.
#pragma once

#include "host-controller/metrics-snapshot.h"

#define METRICS_PROMETHEUS_TYPE "text/plain; version=0.0.4; charset=utf-8"
#define METRICS_OPENMETRICS_TYPE "application/openmetrics-text; version=1.0.0; charset=utf-8"

// A page is written in steps, counted from 0, each of a few kilobytes however many guests there
// are. Appends that step to `text`; returns false once there is none.
typedef bool MetricsStepFunc(const MetricsSnapshot *snapshot, size_t step, GString *text);

MetricsStepFunc metrics_prometheus_step;
MetricsStepFunc metrics_openmetrics_step;
