/* SPDX-License-Identifier: MIT
 *
 * The set in which a loop waits: what a wake costs, what is level-triggered and what is not, and libevent within it. */
#include "core/loop.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <event2/event.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

static unsigned waits; /* calls of epoll_wait(2), ours and libevent's */

/* In place of the C library's. NOLINTNEXTLINE(readability-inconsistent-declaration-parameter-name) */
int epoll_wait(int set, struct epoll_event *events, int most, int timeout) {
  waits++;
  return (int)syscall(SYS_epoll_pwait, set, events, most, timeout, NULL, _NSIG / 8);
}

struct probe {
  struct poll_source source;
  struct poller *poller;
  struct probe *unwatches; /* … when it has an event */
  int fd, peer;
  unsigned events;
};

struct fixture {
  struct clock clock;
  struct loop loop;
  struct probe probes[2];
  unsigned base_events;
  unsigned probe_events_then; /* events of the probes when libevent had its own */
};

static void on_event(struct poll_source *source, uint32_t events) {
  struct probe *probe = (struct probe *)source;
  assert_true(events & (EPOLLIN | EPOLLOUT));
  probe->events++;
  if (probe->unwatches)
    poller_unwatch(probe->poller, probe->unwatches->fd, &probe->unwatches->source);
}

static int set_up(void **state) {
  struct fixture *f = *state = calloc(1, sizeof *f);
  if (!f || loop_init(&f->loop, &f->clock, f) != 0)
    return -1;
  for (size_t i = 0; i < 2; i++) {
    int ends[2];
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends) != 0)
      return -1;
    f->probes[i] =
        (struct probe){.source.on_event = on_event, .poller = &f->loop.poller, .fd = ends[0], .peer = ends[1]};
  }
  return 0;
}

static int tear_down(void **state) {
  struct fixture *f = *state;
  loop_deinit(&f->loop);
  for (size_t i = 0; i < 2; i++) {
    close(f->probes[i].fd);
    close(f->probes[i].peer);
  }
  free(f);
  return 0;
}

static void say(const struct probe *probe) { assert_int_equal(write(probe->peer, "x", 1), 1); }

static void a_wake_for_bytes_is_one_system_call(void **state) {
  struct fixture *f = *state;
  struct probe *probe = &f->probes[0];
  assert_int_equal(poller_add(&f->loop.poller, probe->fd, &probe->source), 0);
  for (unsigned i = 1; i <= 3; i++) {
    say(probe);
    waits = 0;
    loop_round(&f->loop, true);
    assert_int_equal(probe->events, i);
    assert_int_equal(waits, 1);
  }
}

static void an_added_one_tells_what_is_new_and_a_watched_one_what_there_is(void **state) {
  struct fixture *f = *state;
  struct probe *added = &f->probes[0], *watched = &f->probes[1];
  assert_int_equal(poller_add(&f->loop.poller, added->fd, &added->source), 0);
  assert_int_equal(poller_watch(&f->loop.poller, watched->fd, EPOLLIN, &watched->source), 0);
  assert_int_equal(poller_watch(&f->loop.poller, watched->fd, EPOLLIN, &watched->source), -EEXIST);
  say(added);
  say(watched);
  for (int i = 0; i < 3; i++)
    loop_round(&f->loop, true);
  assert_int_equal(added->events, 1);
  assert_int_equal(watched->events, 3);
  poller_unwatch(&f->loop.poller, watched->fd, &watched->source);
  loop_round(&f->loop, false);
  assert_int_equal(watched->events, 3);
  poller_unwatch(&f->loop.poller, watched->fd, &watched->source); /* nothing any more */
}

static void what_is_unwatched_has_no_event_that_is_fetched_already(void **state) {
  struct fixture *f = *state;
  for (size_t i = 0; i < 2; i++) {
    f->probes[i].unwatches = &f->probes[1 - i];
    assert_int_equal(poller_watch(&f->loop.poller, f->probes[i].fd, EPOLLIN, &f->probes[i].source), 0);
    say(&f->probes[i]);
  }
  loop_round(&f->loop, true);
  assert_int_equal(f->probes[0].events + f->probes[1].events, 1);
}

static void on_base_event(evutil_socket_t fd, short what, void *argument) {
  struct fixture *f = argument;
  (void)fd;
  (void)what;
  f->base_events++;
  f->probe_events_then = f->probes[0].events + f->probes[1].events;
}

static void libevent_is_served_once_a_round_behind_the_bytes(void **state) {
  struct fixture *f = *state;
  struct probe *inside = &f->probes[0], *added = &f->probes[1];
  struct event *event = event_new(f->loop.base, inside->fd, EV_READ | EV_PERSIST, on_base_event, f);
  assert_int_equal(event_add(event, NULL), 0);
  assert_int_equal(poller_add(&f->loop.poller, added->fd, &added->source), 0);
  say(inside); /* never read: it stays ready */
  say(added);
  waits = 0;
  loop_round(&f->loop, true);
  assert_int_equal(f->base_events, 1);
  assert_int_equal(f->probe_events_then, 1);
  assert_int_equal(waits, 2);
  loop_round(&f->loop, true);
  assert_int_equal(f->base_events, 2);
  event_free(event);
  waits = 0;
  loop_round(&f->loop, false);
  assert_int_equal(f->base_events, 2);
  assert_int_equal(waits, 1);
}

static void a_loop_within_another_is_served_by_it(void **state) {
  struct fixture *f = *state;
  struct loop inner;
  struct probe *probe = &f->probes[0];
  assert_int_equal(loop_init_within(&inner, &f->loop, f), 0);
  assert_int_equal(poller_add(&inner.poller, probe->fd, &probe->source), 0);
  say(probe);
  loop_round(&f->loop, true);
  assert_int_equal(probe->events, 1);
  loop_deinit(&inner);
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
  const struct CMUnitTest tests[] = {
      TEST(a_wake_for_bytes_is_one_system_call),
      TEST(an_added_one_tells_what_is_new_and_a_watched_one_what_there_is),
      TEST(what_is_unwatched_has_no_event_that_is_fetched_already),
      TEST(libevent_is_served_once_a_round_behind_the_bytes),
      TEST(a_loop_within_another_is_served_by_it),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
