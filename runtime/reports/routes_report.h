/* SPDX-License-Identifier: MIT
 *
 * The live routes, as they are told: each once, in the order of choice, with the ports that it really has. */
#pragma once

#include "native/native.h"

#include <stddef.h>

struct instance;
struct route;

/* Appends one route, without its counters; lua/moongate/route_rows.lua makes of it what the API tells. `instance` NULL:
 * it is not live, and has no version and no real ports. Returns what it appended; NULL without memory. */
struct value *route_report_write(struct value *list, const struct instance *instance, const struct route *route);

/* The question "routes", arguments as selection_query_init() has them, and `port`: { total =, generation =, complete =,
 * routes = { { name =, file =, line =, … }, … } }, in the order of choice. What is counted for them is what the last
 * snapshot has. */
void routes_ask(struct instance *instance, const struct value *arguments, struct native_call *call);

/* The first of them into root.routes, at once: where they are few. */
void routes_write(struct value *root, struct instance *instance, size_t limit);
