/* SPDX-License-Identifier: MIT
 *
 * The phases of a dial: resolving, then connecting, to one address or several at once, or, for a unix socket whose
 * queue is full, pausing. One wheel timer serves them all: it is set to whichever comes first, the next address, the
 * end of the user's patience or the deadline. */
#include "dial/dial.h"

#include "dial/dial_private.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
  LONGEST_MS = 24 * 3600 * 1000, /* so that no sum of times overflows */
  FIRST_PAUSE_MS = 1,
  LONGEST_PAUSE_MS = 32,
};

static void dial_go_on(struct dial *dial);

void dialer_init(struct dialer *dialer, struct loop *loop, struct resolver *resolver, const struct tcp_options *tcp) {
  *dialer = (struct dialer){.loop = loop, .resolver = resolver, .tcp = *tcp};
  FILE *range = fopen("/proc/sys/net/ipv4/ip_local_port_range", "re");
  if (!range)
    return;
  if (fscanf(range, "%" SCNu16, &dialer->first_local_port) != 1)
    dialer->first_local_port = 0;
  fclose(range);
}

static struct dial *dial_of_timer(struct wheel_timer *timer) {
  return (struct dial *)(void *)((char *)timer - offsetof(struct dial, timer));
}

static void dial_free(struct dial *dial) {
  for (struct attempt *attempt = dial->first.next, *next; attempt; attempt = next) {
    next = attempt->next;
    free(attempt);
  }
  if (dial->addresses != &dial->single)
    free(dial->addresses);
  free(dial);
}

static void on_dial_freeing(struct deferred *deferred) {
  dial_free((struct dial *)(void *)((char *)deferred - offsetof(struct dial, freeing)));
}

/* Those that are under way have lost, or nobody waits for them any more. */
static void drop_attempts(struct dial *dial) {
  for (struct attempt *attempt = &dial->first; attempt; attempt = attempt->next) {
    if (attempt->fd >= 0 && attempt->source.on_event)
      attempt_unwatch(attempt);
    attempt_drop(attempt);
  }
}

static bool is_under_way(const struct dial *dial) {
  const struct attempt *attempt = &dial->first;
  while (attempt && attempt->fd < 0)
    attempt = attempt->next;
  return attempt != NULL;
}

/* The end. On success the descriptor goes to the callee. */
static void dial_finish(struct dial *dial, int status, int fd) {
  loop_cancel_timer(dial->dialer->loop, &dial->timer);
  dial->phase = DIAL_OVER;
  drop_attempts(dial);
  dial->done(dial->context, status, fd, dial->next > 0 ? &dial->addresses[dial->last] : NULL);
  if (!dial->inside_start) {
    dial->freeing.run = on_dial_freeing;
    loop_defer(dial->dialer->loop, &dial->freeing);
  }
}

static void attempt_succeed(struct attempt *attempt) {
  struct dial *dial = attempt->dial;
  int fd = attempt->fd;
  attempt->fd = -1;
  dial->last = attempt->index;
  if (failures_count(dial->dialer->failures) > 0)
    dial_note_outcome(dial, 0);
  dial_finish(dial, 0, fd);
}

static void attempt_fail(struct attempt *attempt, int status) {
  attempt_drop(attempt);
  attempt->dial->last = attempt->index;
  attempt->dial->status = status;
  dial_note_outcome(attempt->dial, status);
}

/* The first wait begins the times: most targets of this machine and of its network never need a clock. */
static clock_ms begin_times(struct dial *dial) {
  clock_ms now = clock_now(dial->dialer->loop->clock);
  if (dial->deadline == 0) {
    dial->deadline = now + dial->ms;
    dial->slow_at = dial->slow ? now + dial->patience_ms : CLOCK_NEVER;
  }
  return now;
}

static clock_ms sooner(clock_ms a, clock_ms b) { return a < b ? a : b; }

/* Sets the timer for what comes first; `most_ms` at most. */
static void arm_dial(struct dial *dial, clock_ms now, uint64_t most_ms) {
  clock_ms at = sooner(sooner(dial->deadline, dial->next_at), sooner(dial->slow_at, now + most_ms));
  loop_set_timer(dial->dialer->loop, &dial->timer, at > now ? at - now : 0);
}

static void attempt_wait(struct attempt *attempt) {
  struct dial *dial = attempt->dial;
  clock_ms now = begin_times(dial);
  attempt->began = now;
  dial->phase = DIAL_CONNECTING;
  dial->next_at = dial->next < dial->count ? now + DIAL_ATTEMPT_DELAY_MS : CLOCK_NEVER;
  arm_dial(dial, now, LONGEST_MS);
}

static void on_connect_over(struct poll_source *source, uint32_t events) {
  struct attempt *attempt = (struct attempt *)(void *)((char *)source - offsetof(struct attempt, source));
  struct dial *dial = attempt->dial;
  (void)events;
  assert(dial->phase == DIAL_CONNECTING);
  attempt_unwatch(attempt);
  clock_ms now = loop_now(dial->dialer->loop);
  dial->took_ms = now > attempt->began ? now - attempt->began : 0;
  int status = attempt_status(attempt);
  if (status == 0) {
    attempt_succeed(attempt);
    return;
  }
  attempt_fail(attempt, status);
  bool is_latest = attempt->index + 1 == dial->next;
  if (is_latest || !is_under_way(dial))
    dial_go_on(dial);
}

/* One that is free, the dial's own first. NULL without memory. */
static struct attempt *attempt_take(struct dial *dial) {
  struct attempt *attempt = &dial->first;
  while (attempt && attempt->fd >= 0)
    attempt = attempt->next;
  if (attempt)
    return attempt;
  attempt = calloc(1, sizeof *attempt);
  if (!attempt)
    return NULL;
  *attempt = (struct attempt){.dial = dial, .next = dial->first.next, .fd = -1};
  dial->first.next = attempt;
  return attempt;
}

/* The queue of the unix socket is full. */
static void pause_dial(struct dial *dial) {
  clock_ms now = begin_times(dial);
  dial->phase = DIAL_PAUSING;
  dial->pause_ms = dial->pause_ms == 0 ? FIRST_PAUSE_MS : dial->pause_ms * 2;
  if (dial->pause_ms > LONGEST_PAUSE_MS)
    dial->pause_ms = LONGEST_PAUSE_MS;
  arm_dial(dial, now, dial->pause_ms);
}

/* -EINPROGRESS: it is under way, or pauses; 0: it has won, and the dial is over; else it has failed. */
static int attempt_start(struct attempt *attempt) {
  int status = attempt_connect(attempt);
  if (status == 0) {
    attempt_succeed(attempt);
  } else if (status == -EINPROGRESS) {
    if (attempt_watch(attempt, on_connect_over) != 0) {
      attempt_fail(attempt, -ENOMEM);
      return -ENOMEM;
    }
    attempt_wait(attempt);
  } else if (status == -EAGAIN && attempt->fd >= 0) {
    pause_dial(attempt->dial);
    status = -EINPROGRESS;
  } else {
    attempt_fail(attempt, status);
  }
  return status;
}

/* This machine has nothing left for one more, and others are under way: later. */
static void put_off(struct dial *dial) {
  clock_ms now = begin_times(dial);
  dial->next--;
  dial->next_at = now + DIAL_ATTEMPT_DELAY_MS;
  arm_dial(dial, now, LONGEST_MS);
}

/* Begins with the next address; one that fails at once leads to the one after it. */
static void dial_go_on(struct dial *dial) {
  while (dial->next < dial->count) {
    struct attempt *attempt = attempt_take(dial);
    unsigned index = dial->next++;
    int status = -ENOMEM;
    if (attempt) {
      attempt->index = index;
      status = attempt_start(attempt);
    }
    if (status == 0 || status == -EINPROGRESS)
      return;
    if (!dial_ran_out(status))
      continue;
    if (is_under_way(dial))
      put_off(dial);
    else
      dial_finish(dial, status, -1);
    return;
  }
  if (!is_under_way(dial)) {
    dial_finish(dial, dial->status, -1);
    return;
  }
  dial->next_at = CLOCK_NEVER;
  arm_dial(dial, begin_times(dial), LONGEST_MS);
}

/* One that was begun shortly before the end of everything has had no time to fail. */
static bool had_time(const struct attempt *attempt, clock_ms now) {
  uint64_t had = now - attempt->began, enough = attempt->dial->ms / 2;
  return had >= (enough < DIAL_ATTEMPT_DELAY_MS ? enough : DIAL_ATTEMPT_DELAY_MS);
}

static void note_timed_out(struct dial *dial, clock_ms now) {
  for (struct attempt *attempt = &dial->first; attempt; attempt = attempt->next) {
    if (attempt->fd < 0)
      continue;
    dial->last = attempt->index;
    if (had_time(attempt, now))
      dial_note_outcome(dial, -ETIMEDOUT);
  }
}

static void dial_time_out(struct dial *dial, clock_ms now) {
  if (dial->phase == DIAL_RESOLVING)
    resolve_cancel(dial->request);
  dial->request = NULL;
  note_timed_out(dial, now);
  dial_finish(dial, -ETIMEDOUT, -1);
}

/* It may have been cancelled by this. */
static void tell_slow(struct dial *dial, clock_ms now) {
  dial_slow_fn *slow = dial->slow;
  dial->slow = NULL;
  dial->slow_at = CLOCK_NEVER;
  arm_dial(dial, now, dial->phase == DIAL_PAUSING ? dial->pause_ms : LONGEST_MS);
  slow(dial->context);
}

static void on_dial_expired(struct wheel_timer *timer) {
  struct dial *dial = dial_of_timer(timer);
  clock_ms now = clock_now(dial->dialer->loop->clock);
  assert(dial->phase != DIAL_OVER);
  if (now >= dial->deadline) {
    dial_time_out(dial, now);
    return;
  }
  if (dial->phase == DIAL_PAUSING)
    attempt_start(&dial->first);
  else if (now >= dial->next_at)
    dial_go_on(dial);
  if (dial->phase == DIAL_OVER)
    return;
  if (now >= dial->slow_at)
    tell_slow(dial, now);
  else if (!wheel_is_set(&dial->timer))
    arm_dial(dial, now, LONGEST_MS);
}

static void on_dial_resolved(void *context, const struct resolve_result *result) {
  struct dial *dial = context;
  dial->request = NULL;
  if (result->status != 0) {
    dial_finish(dial, result->status, -1);
    return;
  }
  if (result->count > 1) {
    struct endpoint *addresses = malloc(result->count * sizeof *addresses);
    if (!addresses) {
      dial_finish(dial, -ENOMEM, -1);
      return;
    }
    dial->addresses = addresses;
  }
  memcpy(dial->addresses, result->addresses, result->count * sizeof *dial->addresses);
  dial->count = result->count;
  for (unsigned i = 0; i < dial->count; i++)
    endpoint_set_port(&dial->addresses[i], dial->port);
  if (dial->count > 1)
    dial_order_addresses(dial);
  dial_go_on(dial);
}

/* 0 when `host` is an address, -ENOENT when it is a name. */
static int address_of_host(struct dial *dial, const char *host) {
  static const char unix_prefix[] = "unix:";
  int status;
  if (strncmp(host, unix_prefix, sizeof unix_prefix - 1) == 0) {
    status = endpoint_from_unix_path(&dial->single, host + sizeof unix_prefix - 1);
  } else {
    status = endpoint_from_literal(&dial->single, host, dial->port);
    if (status != 0)
      return -ENOENT;
  }
  if (status == 0)
    dial->count = 1;
  return status;
}

static uint64_t bounded_ms(uint64_t ms) { return ms < LONGEST_MS ? ms : LONGEST_MS; }

/* Not by calloc(3), which takes ten times as long as malloc(3) for what has been freed a moment ago. */
static struct dial *dial_new(struct dialer *dialer, uint16_t port, const struct dial_terms *terms) {
  struct dial *dial = malloc(sizeof *dial);
  if (!dial) {
    terms->done(terms->context, -ENOMEM, -1, NULL);
    return NULL;
  }
  memset(dial, 0, offsetof(struct dial, single));
  dial->dialer = dialer;
  dial->done = terms->done;
  dial->slow = terms->patience_ms > 0 ? terms->slow : NULL;
  dial->context = terms->context;
  dial->addresses = &dial->single;
  dial->first.dial = dial;
  dial->first.fd = -1;
  dial->port = port;
  dial->inside_start = true;
  dial->ms = bounded_ms(terms->ms);
  dial->patience_ms = bounded_ms(terms->patience_ms);
  dial->next_at = CLOCK_NEVER;
  dial->timer.on_expired = on_dial_expired;
  return dial;
}

static struct dial *begun_dial(struct dial *dial) {
  if (dial->phase == DIAL_OVER) {
    dial_free(dial);
    return NULL;
  }
  dial->inside_start = false;
  return dial;
}

static void resolve_host(struct dial *dial, const char *host) {
  struct dialer *dialer = dial->dialer;
  dial->phase = DIAL_RESOLVING;
  clock_ms now = begin_times(dial);
  struct resolve_request *request = resolve_start(dialer->resolver, host, on_dial_resolved, dial);
  if (request) {
    dial->request = request;
    arm_dial(dial, now, LONGEST_MS);
  }
}

struct dial *dial_start(struct dialer *dialer, const char *host, uint16_t port, const struct dial_terms *terms) {
  struct dial *dial = dial_new(dialer, port, terms);
  if (!dial)
    return NULL;
  int status = address_of_host(dial, host);
  if (status == 0)
    dial_go_on(dial);
  else if (status == -ENOENT)
    resolve_host(dial, host);
  else
    dial_finish(dial, status, -1);
  return begun_dial(dial);
}

struct dial *dial_start_address(struct dialer *dialer, const struct ip_address *address, uint16_t port,
                                const struct dial_terms *terms) {
  struct dial *dial = dial_new(dialer, port, terms);
  if (!dial)
    return NULL;
  endpoint_from_address(&dial->single, address, port);
  dial->count = 1;
  dial_go_on(dial);
  return begun_dial(dial);
}

void dial_hand_over(struct dial *dial, dial_done_fn *done, void *context) {
  dial->done = done;
  dial->context = context;
  dial->slow = NULL;
  dial->slow_at = CLOCK_NEVER; /* the timer may expire for it, and finds nothing to do */
}

uint64_t dial_took_ms(const struct dial *dial) { return dial->took_ms; }

void dial_each_address(const struct dial *dial, void (*each)(void *context, const struct endpoint *address),
                       void *context) {
  for (const struct attempt *attempt = &dial->first; attempt; attempt = attempt->next)
    if (attempt->fd >= 0)
      each(context, &dial->addresses[attempt->index]);
}

void dial_cancel(struct dial *dial) {
  if (!dial)
    return;
  assert(dial->phase != DIAL_OVER);
  if (dial->phase == DIAL_RESOLVING)
    resolve_cancel(dial->request);
  loop_cancel_timer(dial->dialer->loop, &dial->timer);
  drop_attempts(dial);
  dial_free(dial);
}

void dial_give_up(struct dial *dial) {
  note_timed_out(dial, clock_now(dial->dialer->loop->clock));
  dial_cancel(dial);
}
