/* SPDX-License-Identifier: MIT
 *
 * What is told when somebody asks, beside connections, routes and diagnoses, which have headers of their own. */
#pragma once

#include "native/native.h"

struct runtime;

/* That are looked at for one answer. */
enum { ADDRESSES_MOST = 262144 };

/* Which client addresses the limits know: what each holds, how fast it comes, and whether it is blocked. Read from the
 * table that the workers share; nothing is changed. See native_ops.addresses; `context` is the struct runtime. */
struct value *addresses_report(void *context, const struct native_addresses *wanted);

/* Why a connection gets the route that it gets: the routes of its port in the order of choice, and for each the clause
 * that turned it down, or why it won. Functions are not run: what depends on one is said to. See native_ops.explain;
 * `context` is the struct runtime. */
struct value *explain_choice(void *context, const struct native_explain *question);

/* native.metrics(): what scripts have made. NULL without memory. */
struct value *script_metrics_report(const struct runtime *runtime);
