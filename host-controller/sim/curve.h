// SPDX-License-Identifier: Apache-2.0
//
// A quantity over time: straight lines between points, level before the first and after the last.
#pragma once

#include <glib.h>
#include <stdint.h>

typedef struct CurvePoint {
    int64_t at_us;
    int64_t value;
} CurvePoint;

// Where the last look at a curve was; zero at the start. Looks go forward in time.
typedef struct CurveCursor {
    guint index;
} CurveCursor;

typedef struct Curve {
    GArray *points; // of CurvePoint, their times not falling; NULL: zero always
    int64_t low;    // values outside are brought to the nearer end
    int64_t high;
} Curve;

// A curve without points and without limits.
void curve_init(Curve *curve);
// Frees the points.
void curve_clear(Curve *curve);

// Appends a point, no earlier than the last one. Two points at one time make a jump.
void curve_add_point(Curve *curve, int64_t at_us, int64_t value);

// Adds the values of `other`, from its first to its last point, to those of `curve`.
void curve_add_curve(Curve *curve, const Curve *other);

// The value at `at_us`, no earlier than that of the cursor's last look.
int64_t curve_at(const Curve *curve, CurveCursor *cursor, int64_t at_us);

// When the next point after `at_us` comes, the cursor having been moved there; INT64_MAX when none
// does.
int64_t curve_next_point_us(const Curve *curve, const CurveCursor *cursor, int64_t at_us);
