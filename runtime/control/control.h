/* SPDX-License-Identifier: MIT
 *
 * The door of the whole: the runtime is made, runs the command line, and goes. */
#pragma once

#include "instance/runtime.h"

/* `library` (NULL mostly) outlives the runtime. 0, or a negative errno and `error`. On the thread that becomes the
 * control thread; it ignores SIGPIPE from then on. */
int runtime_init(struct runtime *runtime, const char *library, struct error *error);
void runtime_deinit(struct runtime *runtime);

/* Runs require("moongate.cli").main(words…) to its end; returns the exit status. */
int runtime_main(struct runtime *runtime, size_t count, char *const *words);
