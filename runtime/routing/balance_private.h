/* SPDX-License-Identifier: MIT
 *
 * How two targets compare, for the first choice (balance.c) and for those after it (balance_next.c). */
#pragma once

#include "routing/route.h"

/* Fewer connections for its weight. Of targets that have loads. */
bool target_is_less_loaded(const struct route_target *target, const struct route_target *other);

/* It comes before the other for clients of that address. */
bool target_is_nearer(const struct route_target *target, const struct route_target *other,
                      const struct ip_address *client);
