/* SPDX-License-Identifier: MIT
 *
 * A thread's event loop: events of sockets and of libevent, a wheel of timers, messages from other threads, and work
 * put off until the current round of events is over (nothing is freed inside its own callback). */
#pragma once

#include "core/clock.h"
#include "core/list.h"
#include "core/mailbox.h"
#include "core/poller.h"
#include "core/wheel.h"

#include <stdbool.h>

struct event_base;

/* Embedded in what has something to do after this round. Zeroed means: not queued. */
struct deferred {
  struct deferred *next;
  struct deferred **link;
  void (*run)(struct deferred *deferred); /* no longer queued when called; may queue again (then it runs in the next
                                             round), or free itself */
};

struct loop {
  struct event_base *base;
  struct clock *clock;
  struct wheel wheel;
  struct mailbox mailbox;
  struct poller poller; /* what the loop waits in: sockets, the timerfd, libevent's set */
  int timerfd;          /* wakes the loop for the wheel */
  int spare_fd; /* what listeners give up to refuse one connection when none are left (net/listener.c); -1: none */
  struct poll_source wheel_source; /* of the timerfd */
  clock_ms wheel_armed;    /* the time that the timerfd is set to, or earlier than needed; CLOCK_NEVER: not set */
  uint64_t armed_advanced; /* how far the clock was advanced then */
  bool wheel_fired;        /* in this round */
  clock_ms cached_now;     /* 0: to be read again */
  struct deferred *deferred_first, **deferred_last;
  struct deferred round_end; /* queued behind the work of this round while it is run */
  bool stopping;
  struct loop *outer;     /* whose rounds ours are part of; NULL: its own thread's loop */
  struct list_node inner; /* loops within this one, by `place` */
  struct list_node place;
};

/* `clock` outlives the loop; `receiver` is what messages are handed. Returns 0 or a negative errno. */
int loop_init(struct loop *loop, struct clock *clock, void *receiver);

/* A loop that has no thread of its own: its timers, messages and deferred work are served in the rounds of `outer`,
 * which outlives it and has the clock. It is never run or stopped itself; loop_deinit() outside of its own callbacks.
 */
int loop_init_within(struct loop *loop, struct loop *outer, void *receiver);

/* True from loop_init_within() until loop_deinit(). */
static inline bool loop_is_within(const struct loop *loop) { return loop->outer && loop->base; }

/* Delivers the messages and runs the deferred work that are still queued, then releases all. The owners of timers and
 * events have cancelled and freed them before, or do so in that work. On the loop's thread, outside of its rounds. */
void loop_deinit(struct loop *loop);

/* Runs until loop_stop(), to the end of that round. Rounds: events, then timers that are due, then deferred work. While
 * work stays deferred it polls instead of waiting. */
void loop_run(struct loop *loop);

/* One round; waits for events when `wait`. What loop_run() does in a circle. */
void loop_round(struct loop *loop, bool wait);

/* On the loop's own thread only. Before loop_run(), this makes it return at once. */
void loop_stop(struct loop *loop);

/* The time, read at most once for the events of a round and once for its timers, from the coarse clock: for time stamps
 * and coarse deadlines. */
static inline clock_ms loop_now(struct loop *loop) {
  if (loop->cached_now == 0)
    loop->cached_now = clock_coarse(loop->clock);
  return loop->cached_now;
}

/* Queues work, in order; nothing when it is queued already. A zeroed or finished one can be undeferred too. */
void loop_defer(struct loop *loop, struct deferred *deferred);
void loop_undefer(struct loop *loop, struct deferred *deferred);

/* Sets or moves a timer to `ms` from now (of the precise clock, in whole milliseconds). 0: in this round's or the
 * next round's timers. */
void loop_set_timer(struct loop *loop, struct wheel_timer *timer, uint64_t ms);

/* When a timer of the loop, or of one within it, may be due next, or earlier; CLOCK_NEVER: there is none. */
clock_ms loop_next_timer(struct loop *loop);
static inline void loop_cancel_timer(struct loop *loop, struct wheel_timer *timer) {
  wheel_cancel(&loop->wheel, timer);
}
