/* SPDX-License-Identifier: MIT
 *
 * The rounds of a loop. The wheel is driven by a timerfd: libevent's own timers go by the coarse clock, or else
 * cost a system call a round. */
#include "core/loop.h"

#include <assert.h>
#include <errno.h>
#include <event2/event.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/epoll.h>
#include <sys/timerfd.h>
#include <unistd.h>

enum {
  COARSE_LAG_MS = 20,       /* no kernel's tick is longer than 10 ms */
  LAST_DEFERRED_ROUNDS = 64 /* of loop_deinit(), for work that keeps putting itself off */
};

static void on_wheel_due(struct poll_source *source, uint32_t events) {
  struct loop *loop = (struct loop *)((char *)source - offsetof(struct loop, wheel_source));
  (void)events;
  uint64_t count;
  ssize_t got;
  do
    got = read(loop->timerfd, &count, sizeof count);
  while (got < 0 && errno == EINTR);
  loop->wheel_armed = CLOCK_NEVER;
  loop->wheel_fired = true;
}

/* libevent does not always say why it failed. */
static int errno_or(int code) { return errno ? errno : code; }

static struct event_base *base_new(void) {
  struct event_config *config = event_config_new();
  if (!config)
    return NULL;
  struct event_base *base = NULL;
  /* One thread uses a base, so no locks. Without EPOLL_USE_CHANGELIST: it puts epoll_ctl() off until the next wait,
   * when the number may be another file's. Without a cached time, for nobody uses libevent's timers. */
  int flags = EVENT_BASE_FLAG_NOLOCK | EVENT_BASE_FLAG_IGNORE_ENV | EVENT_BASE_FLAG_NO_CACHE_TIME;
  if (event_config_set_flag(config, flags) == 0 && event_config_avoid_method(config, "select") == 0 &&
      event_config_avoid_method(config, "poll") == 0)
    base = event_base_new_with_config(config);
  event_config_free(config);
  return base;
}

static struct loop *loop_at(struct list_node *place) { return LIST_OWNER(place, struct loop, place); }

static void base_free(struct loop *loop) {
  list_remove(&loop->place);
  if (!loop->outer)
    event_base_free(loop->base);
  loop->base = NULL;
}

static int init(struct loop *loop, struct clock *clock, struct loop *outer, void *receiver) {
  int error;
  *loop = (struct loop){.clock = clock, .wheel_armed = CLOCK_NEVER, .timerfd = -1, .spare_fd = -1, .outer = outer};
  loop->deferred_last = &loop->deferred_first;
  list_init(&loop->inner);
  list_init(&loop->place);
  wheel_init(&loop->wheel, clock_now(clock));

  errno = 0;
  loop->base = outer ? outer->base : base_new();
  if (!loop->base)
    return -errno_or(ENOMEM);
  if (outer)
    list_add_tail(&outer->inner, &loop->place);
  loop->timerfd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
  if (loop->timerfd < 0) {
    error = -errno;
    goto fail;
  }
  error = poller_init(&loop->poller, loop->base, outer != NULL);
  if (error)
    goto fail;
  loop->wheel_source.on_event = on_wheel_due;
  error = poller_watch(&loop->poller, loop->timerfd, EPOLLIN, &loop->wheel_source);
  if (!error)
    error = mailbox_init(&loop->mailbox, loop->base, receiver);
  if (error)
    goto fail_poller;
  return 0;

fail_poller:
  poller_deinit(&loop->poller);
fail:
  if (loop->timerfd >= 0)
    close(loop->timerfd);
  base_free(loop);
  return error;
}

int loop_init(struct loop *loop, struct clock *clock, void *receiver) { return init(loop, clock, NULL, receiver); }

int loop_init_within(struct loop *loop, struct loop *outer, void *receiver) {
  assert(!outer->outer);
  return init(loop, outer->clock, outer, receiver);
}

/* Exactly what is queued now: `round_end` tells it from what is queued meanwhile. */
static void run_deferred(struct loop *loop) {
  if (!loop->deferred_first)
    return;
  loop_defer(loop, &loop->round_end);
  for (;;) {
    struct deferred *deferred = loop->deferred_first;
    loop_undefer(loop, deferred);
    if (deferred == &loop->round_end)
      break;
    deferred->run(deferred);
  }
}

void loop_deinit(struct loop *loop) {
  mailbox_deinit(&loop->mailbox);
  for (int i = 0; loop->deferred_first && i < LAST_DEFERRED_ROUNDS; i++)
    run_deferred(loop);
  poller_deinit(&loop->poller);
  close(loop->timerfd);
  if (loop->spare_fd >= 0)
    close(loop->spare_fd);
  base_free(loop);
  loop->timerfd = -1;
}

/* Sees to it that the timerfd wakes us when the wheel wants to be advanced. One that is set too early (its timer was
 * cancelled or moved) stays: waking once for nothing is cheaper than setting it anew for each timer. */
static void arm_wheel(struct loop *loop) {
  clock_ms next = wheel_next(&loop->wheel);
  uint64_t advanced = atomic_load_explicit(&loop->clock->advanced_ns, memory_order_relaxed);
  if (next == CLOCK_NEVER || (next >= loop->wheel_armed && advanced == loop->armed_advanced))
    return;
  uint64_t ns = next <= UINT64_MAX / 1000000 ? next * 1000000 : UINT64_MAX;
  ns = ns > advanced ? ns - advanced : 1; /* 0 would disarm it */
  struct itimerspec when = {.it_value = {.tv_sec = (time_t)(ns / 1000000000), .tv_nsec = (long)(ns % 1000000000)}};
  int failed = timerfd_settime(loop->timerfd, TFD_TIMER_ABSTIME, &when, NULL);
  assert(!failed);
  (void)failed;
  loop->wheel_armed = next;
  loop->armed_advanced = advanced;
}

static void expire_timers(struct loop *loop) {
  clock_ms next = wheel_next(&loop->wheel);
  bool fired = loop->wheel_fired;
  loop->wheel_fired = false;
  if (next == CLOCK_NEVER || (!fired && next > clock_coarse(loop->clock) + COARSE_LAG_MS))
    return;
  clock_ms now = clock_now(loop->clock);
  if (now < next)
    return;
  loop->cached_now = 0; /* the events before us may have taken long */
  wheel_advance(&loop->wheel, now);
}

/* False: something is to be done at once. */
static bool may_wait(struct loop *loop) {
  if (loop->deferred_first || loop->wheel.due)
    return false;
  arm_wheel(loop);
  LIST_FOREACH(place, &loop->inner) {
    if (!may_wait(loop_at(place)))
      return false;
  }
  return true;
}

void loop_round(struct loop *loop, bool wait) {
  bool waits = wait && may_wait(loop);
  loop->cached_now = 0;
  LIST_FOREACH(place, &loop->inner) { loop_at(place)->cached_now = 0; }
  poller_serve(&loop->poller, waits);
  LIST_FOREACH(place, &loop->inner) { expire_timers(loop_at(place)); }
  expire_timers(loop);
  LIST_FOREACH(place, &loop->inner) { run_deferred(loop_at(place)); }
  run_deferred(loop);
}

void loop_run(struct loop *loop) {
  while (!loop->stopping)
    loop_round(loop, true);
  loop->stopping = false;
}

void loop_stop(struct loop *loop) { loop->stopping = true; }

void loop_defer(struct loop *loop, struct deferred *deferred) {
  if (deferred->link)
    return;
  deferred->next = NULL;
  deferred->link = loop->deferred_last;
  *loop->deferred_last = deferred;
  loop->deferred_last = &deferred->next;
}

void loop_undefer(struct loop *loop, struct deferred *deferred) {
  if (!deferred->link)
    return;
  *deferred->link = deferred->next;
  if (deferred->next)
    deferred->next->link = deferred->link;
  else
    loop->deferred_last = deferred->link;
  deferred->next = NULL;
  deferred->link = NULL;
}

void loop_set_timer(struct loop *loop, struct wheel_timer *timer, uint64_t ms) {
  clock_ms now = clock_now(loop->clock);
  /* Brings the wheel up to date where this expires nothing: else, after a quiet time, a short timer would stand on a
   * high level and wake us early. */
  if (now > loop->wheel.now && now < wheel_next(&loop->wheel))
    wheel_advance(&loop->wheel, now);
  wheel_set(&loop->wheel, timer, ms < CLOCK_NEVER - now ? now + ms : CLOCK_NEVER);
}

clock_ms loop_next_timer(struct loop *loop) {
  clock_ms next = wheel_next(&loop->wheel);
  LIST_FOREACH(place, &loop->inner) {
    clock_ms inner = loop_next_timer(loop_at(place));
    next = inner < next ? inner : next;
  }
  return next;
}
