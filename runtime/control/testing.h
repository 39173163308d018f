/* SPDX-License-Identifier: MIT
 *
 * Moongates for specs, within `moongate test`: instances with one worker that has no thread, so that it shares the loop
 * and the Lua state of the spec, on ports that the kernel gives; and the clock that a spec moves. */
#pragma once

#include "native/native.h"

struct runtime;

extern const struct testing_ops testing_operations;

/* Ends what still runs, without waiting. When the runtime goes, after its loop has stopped. */
void testing_deinit(struct runtime *runtime);
