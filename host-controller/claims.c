// SPDX-License-Identifier: Apache-2.0
#include "host-controller/claims.h"

#include "protocol/error.h"
#include "protocol/limits.h"

#include <string.h>

static const char *const kind_names[CLAIM_KIND_COUNT] = {
    [CLAIM_RESERVATION] = "reservation",
    [CLAIM_PREPARATION] = "preparation",
};

const char *claim_kind_name(ClaimKind kind)
{
    return kind_names[kind];
}

static void free_claim(void *data)
{
    Claim *claim = data;
    g_free(claim->name);
    g_free(claim);
}

void claims_init(Claims *claims)
{
    *claims = (Claims){.list = g_ptr_array_new_with_free_func(free_claim)};
}

void claims_clear(Claims *claims)
{
    g_ptr_array_unref(claims->list);
}

Claim *claims_add(Claims *claims, const ClaimRequest *request, int64_t now_us, GError **error)
{
    if (claims->list->len >= LIMIT_CLAIMS) {
        g_set_error(error, PROTOCOL_ERROR, PROTOCOL_ERROR_REFUSED,
                    "There are %d reservations and preparations already", LIMIT_CLAIMS);
        return NULL;
    }
    Claim *claim = g_new0(Claim, 1);
    *claim = (Claim){
        .id = ++claims->last_id,
        .kind = request->kind,
        .name = g_strdup(request->name),
        .bytes = request->bytes,
        .created_us = now_us,
        .answer_by_us = now_us + request->timeout_us,
        .hold_us = request->hold_us,
        .answer = request->answer,
        .context = request->context,
    };
    g_ptr_array_add(claims->list, claim);
    return claim;
}

Claim *claims_find(const Claims *claims, int64_t id, GError **error)
{
    for (guint i = 0; i < claims->list->len; i++) {
        Claim *claim = g_ptr_array_index(claims->list, i);
        if (claim->id == id) {
            return claim;
        }
    }
    g_set_error(error, PROTOCOL_ERROR, PROTOCOL_ERROR_INVALID,
                "There is no reservation or preparation %" G_GINT64_FORMAT, id);
    return NULL;
}

void claims_remove(Claims *claims, Claim *claim)
{
    g_ptr_array_remove(claims->list, claim);
}

void claims_abandon(Claims *claims, const void *context)
{
    for (guint i = claims->list->len; i > 0; i--) {
        Claim *claim = g_ptr_array_index(claims->list, i - 1);
        if (claim->answer && claim->context == context) {
            g_ptr_array_remove_index(claims->list, i - 1);
        }
    }
}

// --- answers ----------------------------------------------------------------------------------

static void answer(Claim *claim, json_t *value, const GError *error)
{
    ClaimAnswerFunc *function = claim->answer;
    claim->answer = NULL;
    if (function) {
        function(value, error, claim->context);
    } else {
        json_decref(value);
    }
}

static json_t *result(const Claim *claim, int64_t bytes, int64_t now_us)
{
    return json_pack("{s:b, s:I, s:I}", "granted", claim->granted, "bytes", (json_int_t)bytes,
                     "elapsed-us", (json_int_t)(now_us - claim->created_us));
}

void claims_grant(Claim *claim, int64_t bytes, int64_t now_us)
{
    claim->granted = true;
    claim->expires_us = now_us + claim->hold_us;
    json_t *value = result(claim, bytes, now_us);
    json_object_set_new(value, "id", json_integer(claim->id));
    answer(claim, value, NULL);
}

void claims_deny(Claims *claims, Claim *claim, int64_t bytes, int64_t now_us)
{
    answer(claim, result(claim, bytes, now_us), NULL);
    claims_remove(claims, claim);
}

void claims_fail(Claims *claims, Claim *claim, const GError *error)
{
    answer(claim, NULL, error);
    claims_remove(claims, claim);
}

// --- sums -------------------------------------------------------------------------------------

static bool waits(const Claim *claim)
{
    return !claim->granted && claim->answer_by_us > claim->created_us;
}

static int64_t sum_of(const Claims *claims, bool granted)
{
    int64_t sum = 0;
    for (guint i = 0; i < claims->list->len; i++) {
        const Claim *claim = g_ptr_array_index(claims->list, i);
        bool counts = claim->kind == CLAIM_RESERVATION && (granted ? claim->granted : waits(claim));
        sum += counts ? claim->bytes : 0;
    }
    return sum;
}

int64_t claims_reserved_bytes(const Claims *claims)
{
    return sum_of(claims, true);
}

int64_t claims_wanted_bytes(const Claims *claims)
{
    return sum_of(claims, false);
}

int64_t claims_deadline_us(const Claims *claims)
{
    int64_t deadline_us = INT64_MAX;
    for (guint i = 0; i < claims->list->len; i++) {
        const Claim *claim = g_ptr_array_index(claims->list, i);
        deadline_us = MIN(deadline_us, claim->granted ? claim->expires_us : claim->answer_by_us);
    }
    return deadline_us;
}

Claim *claims_find_for_guest(const Claims *claims, const char *name)
{
    Claim *unnamed = NULL;
    for (guint i = 0; i < claims->list->len; i++) {
        Claim *claim = g_ptr_array_index(claims->list, i);
        if (claim->kind != CLAIM_RESERVATION) {
            continue;
        }
        if (claim->name && strcmp(claim->name, name) == 0) {
            return claim;
        }
        if (!unnamed && !claim->name && claim->granted) {
            unnamed = claim;
        }
    }
    return unnamed;
}

json_t *claim_view(const Claim *claim, int64_t now_us)
{
    json_t *view = json_pack(
        "{s:I, s:s, s:s*, s:I, s:b, s:I}", "id", (json_int_t)claim->id, "kind",
        claim_kind_name(claim->kind), "name", claim->name, "bytes", (json_int_t)claim->bytes,
        "granted", claim->granted, "left-us",
        (json_int_t)MAX((claim->granted ? claim->expires_us : claim->answer_by_us) - now_us, 0));
    return view;
}
