/* SPDX-License-Identifier: MIT
 *
 * The signals that `moongate run` obeys. A thread of their own waits for them and tells the control thread; it also
 * keeps the time within which a process that is to end has to be gone, since whatever was to end it may hang itself.
 * One process can have one of these. */
#pragma once

#include "core/error.h"
#include "core/log.h"
#include "core/loop.h"

enum {
  SIGNALS_END_MS = 1900,   /* after `patience` the process is gone, whatever its threads do … */
  SIGNALS_HURRY_MS = 1500, /* … and so long after a second signal; at a third it is gone */
};

struct account;
struct signals;

struct signal_callbacks {
  void (*on_end)(void *context);               /* SIGTERM, SIGINT, SIGQUIT, SIGPWR */
  void (*on_other)(void *context, int signal); /* SIGHUP, SIGUSR1, SIGUSR2 */
  /* Before signals_set_ready(), on the thread of the signals: the process ends now, by the signal. */
  void (*on_early_end)(void *context);
};

/* From now on those that do not end wait for signals_new(), in place of ending a process that is about to start. */
void signals_hold(void);

/* Blocks the signals, so before threads that do not block them are started. `patience_ms`: how long the end may take
 * that a signal asks for. The thread keeps no capability of an account's (privileges.h; NULL: as that says). `log` and
 * what it uses last as long as the process. NULL: see `error`. */
struct signals *signals_new(struct loop *loop, const struct log *log, const struct account *account,
                            const struct signal_callbacks *callbacks, void *context, uint64_t patience_ms,
                            struct error *error);

/* The control thread runs its loop from now on: until then a signal to end does what it does to any program. */
void signals_set_ready(struct signals *signals);

void signals_set_patience(struct signals *signals, uint64_t ms);

/* The process is gone in `ms` from now at most, with the status 1 if it has not ended by itself. The last call counts.
 * Any thread. */
void signals_end_within(struct signals *signals, uint64_t ms);

/* No callback is called any more; the thread goes on, and keeps what signals_end_within() has promised, to the end of
 * the process. NULL is nothing. */
void signals_leave(struct signals *signals);
