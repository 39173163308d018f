/* SPDX-License-Identifier: MIT
 *
 * Mailboxes: order, batches, closing, and many threads that post at once. */
#include "core/mailbox.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <event2/event.h>
#include <stdlib.h>

enum { POSTERS = 4, POSTS = 5000 };

struct inbox {
  struct event_base *base;
  struct mailbox mailbox;
  int delivered, wrong;
  int next[POSTERS]; /* the number that is due from each thread */
  int reposts;       /* how often a delivered note is posted again */
};

struct note {
  struct message message;
  int poster, number;
};

static struct note *note_new(void (*deliver)(struct message *, void *), int poster, int number) {
  struct note *note = calloc(1, sizeof *note);
  if (!note)
    abort();
  *note = (struct note){.message.deliver = deliver, .poster = poster, .number = number};
  return note;
}

static void on_note(struct message *message, void *receiver) {
  struct note *note = (struct note *)(void *)message;
  struct inbox *inbox = receiver;
  inbox->wrong += note->number != inbox->next[note->poster];
  inbox->next[note->poster] = note->number + 1;
  inbox->delivered++;
  free(note);
}

static void on_note_post_again(struct message *message, void *receiver) {
  struct inbox *inbox = receiver;
  inbox->delivered++;
  if (inbox->reposts == 0 || !mailbox_post(&inbox->mailbox, message))
    free(message);
  else
    inbox->reposts--;
}

static int set_up(void **state) {
  struct inbox *inbox = calloc(1, sizeof *inbox);
  if (!inbox)
    return -1;
  inbox->base = event_base_new();
  *state = inbox;
  return mailbox_init(&inbox->mailbox, inbox->base, inbox);
}

static int tear_down(void **state) {
  struct inbox *inbox = *state;
  event_base_free(inbox->base);
  free(inbox);
  return 0;
}

static void messages_come_in_order_and_all_in_one_wake(void **state) {
  struct inbox *inbox = *state;
  for (int i = 0; i < 1000; i++)
    assert_true(mailbox_post(&inbox->mailbox, &note_new(on_note, 0, i)->message));
  assert_int_equal(inbox->delivered, 0);
  event_base_loop(inbox->base, EVLOOP_ONCE);
  assert_int_equal(inbox->delivered, 1000);
  assert_int_equal(inbox->wrong, 0);
  event_base_loop(inbox->base, EVLOOP_NONBLOCK);
  assert_int_equal(inbox->delivered, 1000);
  mailbox_deinit(&inbox->mailbox);
}

static void what_is_posted_during_delivery_comes_in_the_next_wake(void **state) {
  struct inbox *inbox = *state;
  inbox->reposts = 2;
  assert_true(mailbox_post(&inbox->mailbox, &note_new(on_note_post_again, 0, 0)->message));
  for (int wake = 1; wake <= 3; wake++) {
    event_base_loop(inbox->base, EVLOOP_ONCE);
    assert_int_equal(inbox->delivered, wake);
  }
  mailbox_deinit(&inbox->mailbox);
}

static void deinit_delivers_what_is_queued_and_refuses_what_comes_later(void **state) {
  struct inbox *inbox = *state;
  inbox->reposts = 100;
  assert_true(mailbox_post(&inbox->mailbox, &note_new(on_note_post_again, 0, 0)->message));
  assert_true(mailbox_post(&inbox->mailbox, &note_new(on_note, 0, 0)->message));
  mailbox_deinit(&inbox->mailbox);
  assert_int_equal(inbox->delivered, 2);
  struct note *late = note_new(on_note, 0, 1);
  assert_false(mailbox_post(&inbox->mailbox, &late->message));
  free(late);
  assert_int_equal(inbox->delivered, 2);
}

struct poster {
  struct inbox *inbox;
  int number, refused;
};

static void *post_many(void *argument) {
  struct poster *poster = argument;
  for (int i = 0; i < POSTS; i++) {
    struct note *note = note_new(on_note, poster->number, i);
    if (!mailbox_post(&poster->inbox->mailbox, &note->message)) {
      poster->refused++;
      free(note);
    }
  }
  return NULL;
}

static void many_threads_lose_nothing_and_keep_their_order(void **state) {
  struct inbox *inbox = *state;
  pthread_t threads[POSTERS];
  struct poster posters[POSTERS];
  for (int i = 0; i < POSTERS; i++) {
    posters[i] = (struct poster){.inbox = inbox, .number = i};
    assert_int_equal(pthread_create(&threads[i], NULL, post_many, &posters[i]), 0);
  }
  while (inbox->delivered < POSTERS * POSTS)
    event_base_loop(inbox->base, EVLOOP_ONCE);
  for (int i = 0; i < POSTERS; i++) {
    pthread_join(threads[i], NULL);
    assert_int_equal(posters[i].refused, 0);
    assert_int_equal(inbox->next[i], POSTS);
  }
  assert_int_equal(inbox->wrong, 0);
  mailbox_deinit(&inbox->mailbox);
}

static void closing_while_threads_post_delivers_or_refuses_each_message(void **state) {
  struct inbox *inbox = *state;
  pthread_t threads[POSTERS];
  struct poster posters[POSTERS];
  for (int i = 0; i < POSTERS; i++) {
    posters[i] = (struct poster){.inbox = inbox, .number = i};
    assert_int_equal(pthread_create(&threads[i], NULL, post_many, &posters[i]), 0);
  }
  while (inbox->delivered < POSTS / 2)
    event_base_loop(inbox->base, EVLOOP_ONCE);
  mailbox_deinit(&inbox->mailbox);
  int refused = 0;
  for (int i = 0; i < POSTERS; i++) {
    pthread_join(threads[i], NULL);
    refused += posters[i].refused;
  }
  assert_int_equal(inbox->delivered + refused, POSTERS * POSTS);
  assert_int_equal(inbox->wrong, 0);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test_setup_teardown(messages_come_in_order_and_all_in_one_wake, set_up, tear_down),
      cmocka_unit_test_setup_teardown(what_is_posted_during_delivery_comes_in_the_next_wake, set_up, tear_down),
      cmocka_unit_test_setup_teardown(deinit_delivers_what_is_queued_and_refuses_what_comes_later, set_up, tear_down),
      cmocka_unit_test_setup_teardown(many_threads_lose_nothing_and_keep_their_order, set_up, tear_down),
      cmocka_unit_test_setup_teardown(closing_while_threads_post_delivers_or_refuses_each_message, set_up, tear_down),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
