/* SPDX-License-Identifier: MIT
 *
 * Checking the config and the route files without running them. */
#pragma once

#include "native/native.h"

struct runtime;

/* See native_ops.check. `context` is the runtime, of a process that has one thread. */
struct value *check_files(void *context, const struct native_settings *settings);
