/* SPDX-License-Identifier: MIT
 *
 * The signals that `moongate run` obeys, as events of the control thread's loop. One process can have one of these. */
#pragma once

#include "core/error.h"
#include "core/loop.h"

struct signals;

struct signal_callbacks {
  void (*on_end)(void *context);               /* SIGTERM, SIGINT */
  void (*on_other)(void *context, int signal); /* SIGHUP, SIGUSR1 */
};

/* NULL: see `error`. */
struct signals *signals_new(struct loop *loop, const struct signal_callbacks *callbacks, void *context,
                            struct error *error);

/* They do again what they did before. NULL is nothing. */
void signals_free(struct signals *signals);
