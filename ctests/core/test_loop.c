/* SPDX-License-Identifier: MIT
 *
 * Loops: the order within a round, timers on a clock that is moved, deferred work, and threads that talk. */
#include "core/loop.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <event2/event.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const uint64_t MS = 1000000;

struct fixture {
  struct clock clock;
  struct loop loop;
  char trace[64]; /* a letter for each thing that ran */
};

struct work {
  struct deferred deferred;
  struct wheel_timer timer;
  struct fixture *f;
  char letter;
  int again; /* how often it queues itself again */
  struct work *undefers, *defers;
};

static int set_up(void **state) {
  struct fixture *f = calloc(1, sizeof *f);
  *state = f;
  return f ? loop_init(&f->loop, &f->clock, f) : -1;
}

static int tear_down(void **state) {
  struct fixture *f = *state;
  if (f->loop.base)
    loop_deinit(&f->loop);
  free(f);
  return 0;
}

static void trace(struct fixture *f, char letter) {
  size_t size = strlen(f->trace);
  assert_true(size + 1 < sizeof f->trace);
  f->trace[size] = letter;
}

static void on_deferred(struct deferred *deferred) {
  struct work *work = (struct work *)(void *)deferred;
  assert_null(deferred->link);
  trace(work->f, work->letter);
  if (work->again-- > 0)
    loop_defer(&work->f->loop, deferred);
  if (work->undefers)
    loop_undefer(&work->f->loop, &work->undefers->deferred);
  if (work->defers)
    loop_defer(&work->f->loop, &work->defers->deferred);
}

static void on_timer(struct wheel_timer *timer) {
  struct work *work = (struct work *)(void *)((char *)timer - offsetof(struct work, timer));
  trace(work->f, work->letter);
  if (work->defers)
    loop_defer(&work->f->loop, &work->defers->deferred);
  if (work->again-- > 0)
    loop_set_timer(&work->f->loop, timer, 0);
}

static struct work work_of(struct fixture *f, char letter) {
  return (struct work){.deferred.run = on_deferred, .timer.on_expired = on_timer, .f = f, .letter = letter};
}

static void deferred_work_runs_once_in_order_after_the_round(void **state) {
  struct fixture *f = *state;
  struct work a = work_of(f, 'a'), b = work_of(f, 'b'), c = work_of(f, 'c');
  loop_defer(&f->loop, &a.deferred);
  loop_defer(&f->loop, &b.deferred);
  loop_defer(&f->loop, &c.deferred);
  loop_defer(&f->loop, &a.deferred);
  assert_string_equal(f->trace, "");
  loop_round(&f->loop, true); /* polls, or this would never end */
  assert_string_equal(f->trace, "abc");
  loop_round(&f->loop, false);
  assert_string_equal(f->trace, "abc");
}

static void work_queued_by_deferred_work_waits_for_the_next_round(void **state) {
  struct fixture *f = *state;
  struct work a = work_of(f, 'a'), b = work_of(f, 'b'), c = work_of(f, 'c');
  a.again = 2;
  b.defers = &c;
  loop_defer(&f->loop, &a.deferred);
  loop_defer(&f->loop, &b.deferred);
  loop_round(&f->loop, true);
  assert_string_equal(f->trace, "ab");
  loop_round(&f->loop, true);
  assert_string_equal(f->trace, "abac");
  loop_round(&f->loop, true);
  assert_string_equal(f->trace, "abaca");
}

static void undeferred_work_does_not_run(void **state) {
  struct fixture *f = *state;
  struct work items[5];
  for (int i = 0; i < 5; i++)
    items[i] = work_of(f, (char)('a' + i));
  loop_undefer(&f->loop, &items[0].deferred);
  for (int i = 0; i < 5; i++)
    loop_defer(&f->loop, &items[i].deferred);
  loop_undefer(&f->loop, &items[0].deferred);
  loop_undefer(&f->loop, &items[2].deferred);
  loop_undefer(&f->loop, &items[4].deferred);
  loop_undefer(&f->loop, &items[4].deferred);
  loop_defer(&f->loop, &items[0].deferred);
  loop_round(&f->loop, true);
  assert_string_equal(f->trace, "bda");
}

static void deferred_work_may_undefer_the_last_of_its_round_and_queue_behind_it(void **state) {
  struct fixture *f = *state;
  struct work a = work_of(f, 'a'), b = work_of(f, 'b'), c = work_of(f, 'c');
  a.undefers = &b;
  a.defers = &c;
  loop_defer(&f->loop, &a.deferred);
  loop_defer(&f->loop, &b.deferred);
  loop_round(&f->loop, true);
  assert_string_equal(f->trace, "a");
  loop_round(&f->loop, true);
  assert_string_equal(f->trace, "ac");
  a.undefers = &c;
  a.defers = &c; /* out of the next round's, and in again */
  loop_defer(&f->loop, &a.deferred);
  loop_round(&f->loop, true);
  loop_round(&f->loop, true);
  assert_string_equal(f->trace, "acac");
}

static void on_deferred_free(struct deferred *deferred) { free(deferred); }

static void deferred_work_may_free_itself(void **state) {
  struct fixture *f = *state;
  for (int i = 0; i < 10; i++) {
    struct deferred *deferred = calloc(1, sizeof *deferred);
    assert_non_null(deferred);
    deferred->run = on_deferred_free;
    loop_defer(&f->loop, deferred);
  }
  loop_round(&f->loop, true);
  assert_null(f->loop.deferred_first);
}

static void timers_expire_at_the_next_round_after_the_clock_was_advanced(void **state) {
  struct fixture *f = *state;
  struct work hour = work_of(f, 'h'), day = work_of(f, 'd');
  loop_set_timer(&f->loop, &day.timer, 24 * 3600 * 1000);
  loop_set_timer(&f->loop, &hour.timer, 3600 * 1000);
  loop_round(&f->loop, false);
  assert_string_equal(f->trace, "");
  clock_advance(&f->clock, 3600 * 1000 * MS);
  loop_round(&f->loop, true);
  assert_string_equal(f->trace, "h");
  clock_advance(&f->clock, 23 * 3600 * 1000 * MS);
  loop_round(&f->loop, false);
  assert_string_equal(f->trace, "hd");
}

static void on_post_advance(struct message *message, void *receiver) {
  struct fixture *f = receiver;
  trace(f, 'm');
  clock_advance(&f->clock, 3600 * 1000 * MS);
  free(message);
}

static void a_callback_that_advances_the_clock_expires_timers_in_its_round(void **state) {
  struct fixture *f = *state;
  struct work a = work_of(f, 'a'), b = work_of(f, 'b');
  a.defers = &b;
  loop_set_timer(&f->loop, &a.timer, 1800 * 1000);
  loop_round(&f->loop, false);
  struct message *message = calloc(1, sizeof *message);
  assert_non_null(message);
  message->deliver = on_post_advance;
  assert_true(mailbox_post(&f->loop.mailbox, message));
  loop_round(&f->loop, true);
  assert_string_equal(f->trace, "mab"); /* events, then timers, then deferred work */
}

static void a_timer_wakes_a_waiting_loop_not_before_its_time(void **state) {
  struct fixture *f = *state;
  static const uint64_t delays[] = {0, 1, 2, 5, 17, 70, 130};
  for (size_t i = 0; i < sizeof delays / sizeof *delays; i++) {
    struct work a = work_of(f, 'a');
    memset(f->trace, 0, sizeof f->trace);
    clock_ms before = clock_now(&f->clock);
    loop_set_timer(&f->loop, &a.timer, delays[i]);
    int rounds = 0;
    while (!f->trace[0]) {
      loop_round(&f->loop, true);
      rounds++;
    }
    assert_true(clock_now(&f->clock) - before >= delays[i]);
    assert_true(rounds <= WHEEL_LEVELS + 2); /* it waited; it did not spin */
  }
}

static void on_message(struct message *message, void *receiver) {
  (void)message;
  trace(receiver, 'm');
}

static void a_waiting_round_knows_that_the_clock_was_advanced_since_the_last(void **state) {
  struct fixture *f = *state;
  struct work nearer = work_of(f, 'n'), later = work_of(f, 'l');
  loop_set_timer(&f->loop, &later.timer, 3600 * 1000);
  loop_set_timer(&f->loop, &nearer.timer, 600 * 1000);
  struct message message = {.deliver = on_message};
  assert_true(mailbox_post(&f->loop.mailbox, &message));
  loop_round(&f->loop, true);
  loop_cancel_timer(&f->loop, &nearer.timer);
  clock_advance(&f->clock, (3600 * 1000 - 5) * MS);
  int rounds = 0;
  while (!f->trace[1]) {
    loop_round(&f->loop, true);
    assert_true(++rounds <= WHEEL_LEVELS + 4);
  }
  assert_string_equal(f->trace, "ml");
}

static void a_timer_of_zero_set_in_its_callback_lets_rounds_pass(void **state) {
  struct fixture *f = *state;
  struct work a = work_of(f, 'a');
  a.again = 3;
  loop_set_timer(&f->loop, &a.timer, 0);
  for (size_t rounds = 0; strlen(f->trace) < 4; rounds++) {
    assert_true(strlen(f->trace) <= rounds);
    loop_round(&f->loop, true);
  }
}

static void cancelled_and_moved_timers_keep_to_their_word(void **state) {
  struct fixture *f = *state;
  struct work a = work_of(f, 'a'), b = work_of(f, 'b');
  loop_set_timer(&f->loop, &a.timer, 1000);
  loop_set_timer(&f->loop, &b.timer, 1000);
  loop_cancel_timer(&f->loop, &a.timer);
  loop_set_timer(&f->loop, &b.timer, 5000);
  clock_advance(&f->clock, 2000 * MS);
  loop_round(&f->loop, false);
  assert_string_equal(f->trace, "");
  clock_advance(&f->clock, 3000 * MS);
  loop_round(&f->loop, false);
  assert_string_equal(f->trace, "b");
  loop_set_timer(&f->loop, &a.timer, UINT64_MAX);
  assert_true(wheel_is_set(&a.timer));
  clock_advance(&f->clock, UINT64_C(365) * 24 * 3600 * 1000 * MS);
  loop_round(&f->loop, false);
  assert_string_equal(f->trace, "b");
}

static void the_time_stands_still_within_a_round_and_is_fresh_in_the_next(void **state) {
  struct fixture *f = *state;
  clock_ms first = loop_now(&f->loop);
  clock_advance(&f->clock, 1000 * MS);
  assert_int_equal(loop_now(&f->loop), first);
  loop_round(&f->loop, false);
  assert_true(loop_now(&f->loop) >= first + 1000);
}

static void on_readable(evutil_socket_t fd, short what, void *argument) {
  struct fixture *f = argument;
  char byte;
  (void)what;
  assert_int_equal(read(fd, &byte, 1), 1);
  trace(f, byte);
  loop_stop(&f->loop);
}

static void run_goes_on_until_stop(void **state) {
  struct fixture *f = *state;
  int ends[2];
  assert_int_equal(pipe(ends), 0);
  struct event *event = event_new(f->loop.base, ends[0], EV_READ | EV_PERSIST, on_readable, f);
  assert_int_equal(event_add(event, NULL), 0);
  struct work a = work_of(f, 'a');
  loop_defer(&f->loop, &a.deferred);
  loop_stop(&f->loop);
  loop_run(&f->loop);
  assert_string_equal(f->trace, ""); /* stopped before it began */
  assert_int_equal(write(ends[1], "xy", 2), 2);
  loop_run(&f->loop);
  assert_string_equal(f->trace, "xa");
  loop_run(&f->loop);
  assert_string_equal(f->trace, "xay");
  event_free(event);
  close(ends[0]);
  close(ends[1]);
}

static void on_defer(struct message *message, void *receiver) {
  struct fixture *f = receiver;
  struct work *work = (struct work *)(void *)((char *)message - sizeof(struct work));
  trace(f, 'm');
  loop_defer(&f->loop, &work->deferred);
}

static void deinit_delivers_messages_and_runs_deferred_work(void **state) {
  struct fixture *f = *state;
  struct {
    struct work work;
    struct message message;
  } both = {.work = work_of(f, 'a'), .message = {.deliver = on_defer}};
  both.work.again = 1;
  assert_true(mailbox_post(&f->loop.mailbox, &both.message));
  loop_deinit(&f->loop);
  assert_string_equal(f->trace, "maa");
}

/* Two loops on two threads hand one message to and fro. */
struct player {
  struct clock *clock;
  struct loop loop;
  struct player *other;
  int rallies;
};

struct ball {
  struct message message;
  int hits;
};

enum { RALLIES = 2000 };

static void on_ball(struct message *message, void *receiver) {
  struct player *player = receiver;
  struct ball *ball = (struct ball *)(void *)message;
  player->rallies++;
  bool last = ++ball->hits >= RALLIES;
  if (last)
    loop_stop(&player->loop);
  if (ball->hits > RALLIES) {
    free(ball);
    return;
  }
  assert_true(mailbox_post(&player->other->loop.mailbox, message));
}

static void *play(void *argument) {
  struct player *player = argument;
  loop_run(&player->loop);
  return NULL;
}

static void loops_on_two_threads_hand_a_message_to_and_fro(void **state) {
  (void)state;
  struct clock clock = {0};
  struct player players[2] = {{.other = &players[1]}, {.other = &players[0]}};
  for (int i = 0; i < 2; i++)
    assert_int_equal(loop_init(&players[i].loop, &clock, &players[i]), 0);
  struct ball *ball = calloc(1, sizeof *ball);
  assert_non_null(ball);
  ball->message.deliver = on_ball;
  assert_true(mailbox_post(&players[0].loop.mailbox, &ball->message));
  pthread_t thread;
  assert_int_equal(pthread_create(&thread, NULL, play, &players[1]), 0);
  loop_run(&players[0].loop);
  pthread_join(thread, NULL);
  assert_int_equal(players[0].rallies + players[1].rallies, RALLIES + 1);
  for (int i = 0; i < 2; i++)
    loop_deinit(&players[i].loop);
}

/* A timer and a deferred work of an inner loop. */
struct inner {
  struct loop loop;
  struct wheel_timer timer;
  struct deferred deferred;
  struct message message;
  int expired, run, delivered;
};

static void on_inner_timer(struct wheel_timer *timer) {
  struct inner *inner = (struct inner *)(void *)((char *)timer - offsetof(struct inner, timer));
  inner->expired++;
  loop_defer(&inner->loop, &inner->deferred);
}

static void on_inner_deferred(struct deferred *deferred) {
  struct inner *inner = (struct inner *)(void *)((char *)deferred - offsetof(struct inner, deferred));
  inner->run++;
}

static void on_inner_message(struct message *message, void *receiver) {
  (void)message;
  ((struct inner *)receiver)->delivered++;
}

static void the_rounds_of_a_loop_serve_those_within_it(void **state) {
  (void)state;
  struct clock clock = {0};
  struct loop outer;
  struct inner inner = {
      .timer.on_expired = on_inner_timer, .deferred.run = on_inner_deferred, .message.deliver = on_inner_message};
  assert_int_equal(loop_init(&outer, &clock, NULL), 0);
  assert_int_equal(loop_init_within(&inner.loop, &outer, &inner), 0);
  assert_true(loop_is_within(&inner.loop));
  assert_true(loop_next_timer(&outer) == CLOCK_NEVER);
  loop_set_timer(&inner.loop, &inner.timer, 60 * 1000);
  assert_true(loop_next_timer(&outer) <= clock_now(&clock) + 60 * 1000);
  loop_round(&outer, false);
  assert_int_equal(inner.expired, 0);
  clock_advance(&clock, UINT64_C(61) * 1000 * 1000 * 1000);
  loop_round(&outer, true); /* would wait for ever if it did not know the inner timer */
  assert_int_equal(inner.expired, 1);
  assert_int_equal(inner.run, 1);
  assert_true(mailbox_post(&inner.loop.mailbox, &inner.message));
  while (inner.delivered == 0)
    loop_round(&outer, true);
  loop_deinit(&inner.loop);
  assert_false(loop_is_within(&inner.loop));
  loop_round(&outer, false);
  loop_deinit(&outer);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void) {
  const struct CMUnitTest tests[] = {
      TEST(deferred_work_runs_once_in_order_after_the_round),
      TEST(work_queued_by_deferred_work_waits_for_the_next_round),
      TEST(undeferred_work_does_not_run),
      TEST(deferred_work_may_undefer_the_last_of_its_round_and_queue_behind_it),
      TEST(deferred_work_may_free_itself),
      TEST(timers_expire_at_the_next_round_after_the_clock_was_advanced),
      TEST(a_callback_that_advances_the_clock_expires_timers_in_its_round),
      TEST(a_timer_wakes_a_waiting_loop_not_before_its_time),
      TEST(a_waiting_round_knows_that_the_clock_was_advanced_since_the_last),
      TEST(a_timer_of_zero_set_in_its_callback_lets_rounds_pass),
      TEST(cancelled_and_moved_timers_keep_to_their_word),
      TEST(the_time_stands_still_within_a_round_and_is_fresh_in_the_next),
      TEST(run_goes_on_until_stop),
      TEST(deinit_delivers_messages_and_runs_deferred_work),
      cmocka_unit_test(the_rounds_of_a_loop_serve_those_within_it),
      cmocka_unit_test(loops_on_two_threads_hand_a_message_to_and_fro),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
