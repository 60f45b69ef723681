// SPDX-License-Identifier: Apache-2.0
#include "host-controller/sim/curve.h"

#include "host-controller/sim/quantity.h"

void curve_init(Curve *curve)
{
    *curve = (Curve){.low = INT64_MIN, .high = INT64_MAX};
}

void curve_clear(Curve *curve)
{
    g_clear_pointer(&curve->points, g_array_unref);
}

void curve_add_point(Curve *curve, int64_t at_us, int64_t value)
{
    if (!curve->points) {
        curve->points = g_array_new(FALSE, FALSE, sizeof(CurvePoint));
    }
    CurvePoint point = {.at_us = at_us, .value = value};
    g_array_append_val(curve->points, point);
}

static const CurvePoint *point_at(const Curve *curve, guint index)
{
    return &g_array_index(curve->points, CurvePoint, index);
}

static guint count_points(const Curve *curve)
{
    return curve->points ? curve->points->len : 0;
}

static int64_t between(const CurvePoint *before, const CurvePoint *after, int64_t at_us)
{
    return before->value + sim_scale(after->value - before->value, at_us - before->at_us,
                                     after->at_us - before->at_us);
}

static int64_t unlimited_at(const Curve *curve, CurveCursor *cursor, int64_t at_us)
{
    guint count = curve->points->len;
    while (cursor->index + 1 < count && point_at(curve, cursor->index + 1)->at_us <= at_us) {
        cursor->index++;
    }
    const CurvePoint *point = point_at(curve, cursor->index);
    if (at_us <= point->at_us || cursor->index + 1 == count) {
        return point->value;
    }
    return between(point, point_at(curve, cursor->index + 1), at_us);
}

int64_t curve_at(const Curve *curve, CurveCursor *cursor, int64_t at_us)
{
    if (!curve->points) {
        return sim_clamp(0, curve->low, curve->high);
    }
    return sim_clamp(unlimited_at(curve, cursor, at_us), curve->low, curve->high);
}

int64_t curve_next_point_us(const Curve *curve, const CurveCursor *cursor, int64_t at_us)
{
    for (guint i = cursor->index; i < count_points(curve); i++) {
        if (point_at(curve, i)->at_us > at_us) {
            return point_at(curve, i)->at_us;
        }
    }
    return INT64_MAX;
}

// The time of point `index`, INT64_MAX after the last one.
static int64_t time_of(const Curve *curve, guint index)
{
    return index < count_points(curve) ? point_at(curve, index)->at_us : INT64_MAX;
}

// The points of both, each with the value of the other at its time. Where either jumps, both of its
// points are kept.
void curve_add_curve(Curve *curve, const Curve *other)
{
    if (!other->points) {
        return;
    }
    if (!curve->points) {
        curve_add_point(curve, point_at(other, 0)->at_us, 0);
    }
    Curve sum = {.low = curve->low, .high = curve->high};
    CurveCursor at_curve = {0};
    CurveCursor at_other = {0};
    guint i = 0;
    guint j = 0;
    while (i < curve->points->len || j < other->points->len) {
        int64_t at_us = sim_min(time_of(curve, i), time_of(other, j));
        int64_t own = time_of(curve, i) == at_us ? point_at(curve, i++)->value
                                                 : unlimited_at(curve, &at_curve, at_us);
        int64_t more = time_of(other, j) == at_us ? point_at(other, j++)->value
                                                  : unlimited_at(other, &at_other, at_us);
        curve_add_point(&sum, at_us, own + more);
    }
    curve_clear(curve);
    *curve = sum;
}
