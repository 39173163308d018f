/* SPDX-License-Identifier: MIT
 *
 * What "moongate.native" does: the table of functions that the Lua side is handed. Their context is the struct runtime.
 */
#pragma once

#include "native/native.h"

struct runtime;

extern const struct native_ops operations;

/* Of an instance. */
struct instance;
struct value *status_of(struct instance *instance);

/* native.status(): without a running instance only what is known of the process. NULL without memory. */
struct value *status_report(const struct runtime *runtime);

/* native.readiness(). NULL without memory. */
struct value *readiness_report(const struct runtime *runtime);
