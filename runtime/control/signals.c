/* SPDX-License-Identifier: MIT
 *
 * libevent's signal events, one for each signal. */
#include "control/signals.h"

#include <errno.h>
#include <event2/event.h>
#include <signal.h>
#include <stdlib.h>

static const int obeyed[] = {SIGTERM, SIGINT, SIGHUP, SIGUSR1};

enum { COUNT = sizeof obeyed / sizeof obeyed[0] };

struct signals {
  const struct signal_callbacks *callbacks;
  void *context;
  struct event *events[COUNT];
};

static void on_signal(evutil_socket_t number, short what, void *argument) {
  struct signals *signals = argument;
  (void)what;
  if (number == SIGTERM || number == SIGINT)
    signals->callbacks->on_end(signals->context);
  else
    signals->callbacks->on_other(signals->context, (int)number);
}

struct signals *signals_new(struct loop *loop, const struct signal_callbacks *callbacks, void *context,
                            struct error *error) {
  struct signals *signals = calloc(1, sizeof *signals);
  for (int i = 0; signals && i < COUNT; i++) {
    signals->callbacks = callbacks;
    signals->context = context;
    signals->events[i] = event_new(loop->base, obeyed[i], EV_SIGNAL | EV_PERSIST, on_signal, signals);
    if (!signals->events[i] || event_add(signals->events[i], NULL) != 0) {
      signals_free(signals);
      signals = NULL;
    }
  }
  if (!signals)
    error_set(error, ENOMEM, "signals can't be waited for");
  return signals;
}

void signals_free(struct signals *signals) {
  if (!signals)
    return;
  for (int i = 0; i < COUNT; i++)
    if (signals->events[i])
      event_free(signals->events[i]);
  free(signals);
}
