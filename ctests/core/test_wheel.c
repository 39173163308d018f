/* SPDX-License-Identifier: MIT
 *
 * The timing wheel: single properties, then random operations against a model that looks at every timer. */
#include "core/wheel.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

struct probe {
  struct wheel_timer timer;
  struct wheel *wheel;
  int expired;
  clock_ms again;        /* set again for this when it expires; 0: not */
  struct probe *cancels; /* cancelled when this one expires */
};

static void on_probe_expired(struct wheel_timer *timer) {
  struct probe *probe = (struct probe *)(void *)timer;
  assert_false(wheel_is_set(timer));
  probe->expired++;
  if (probe->cancels)
    wheel_cancel(probe->wheel, &probe->cancels->timer);
  if (probe->again) {
    clock_ms again = probe->again;
    probe->again = 0;
    wheel_set(probe->wheel, timer, again);
  }
}

static struct probe probe_of(struct wheel *wheel) {
  return (struct probe){.timer.on_expired = on_probe_expired, .wheel = wheel};
}

static void a_timer_expires_at_its_deadline_and_once(void **state) {
  (void)state;
  static const clock_ms delays[] = {1,          63,        64,      65,       4095,       4096,       4097,
                                    262143,     262144,    1000000, 16777216, 1ULL << 30, 1ULL << 36, (1ULL << 42) - 1,
                                    1ULL << 42, 3ULL << 42};
  static const clock_ms starts[] = {0, 1, 63, 64, 4095, 123456789, (1ULL << 36) - 1, (1ULL << 42) - 1, 1ULL << 42};
  for (size_t s = 0; s < sizeof starts / sizeof *starts; s++)
    for (size_t d = 0; d < sizeof delays / sizeof *delays; d++) {
      struct wheel wheel;
      wheel_init(&wheel, starts[s]);
      struct probe probe = probe_of(&wheel);
      clock_ms deadline = starts[s] + delays[d];
      wheel_set(&wheel, &probe.timer, deadline);
      assert_true(wheel_is_set(&probe.timer));
      wheel_advance(&wheel, deadline - 1);
      assert_int_equal(probe.expired, 0);
      assert_int_equal(wheel_next(&wheel), deadline);
      wheel_advance(&wheel, deadline);
      assert_int_equal(probe.expired, 1);
      assert_false(wheel_is_set(&probe.timer));
      assert_true(wheel_next(&wheel) == CLOCK_NEVER);
      wheel_advance(&wheel, deadline + 1000);
      assert_int_equal(probe.expired, 1);
    }
}

static void going_only_where_next_says_takes_few_steps(void **state) {
  (void)state;
  struct wheel wheel;
  wheel_init(&wheel, 12345);
  struct probe probe = probe_of(&wheel);
  clock_ms deadline = 12345 + 4 * 3600 * 1000;
  wheel_set(&wheel, &probe.timer, deadline);
  int steps = 0;
  while (!probe.expired) {
    clock_ms next = wheel_next(&wheel);
    assert_true(next > wheel.now && next <= deadline);
    wheel_advance(&wheel, next);
    assert_true(++steps <= WHEEL_LEVELS);
  }
  assert_int_equal(wheel.now, deadline);
}

static void a_cancelled_timer_does_not_expire_and_leaves_no_trace(void **state) {
  (void)state;
  struct wheel wheel;
  wheel_init(&wheel, 1000);
  struct probe a = probe_of(&wheel), b = probe_of(&wheel);
  wheel_cancel(&wheel, &a.timer);
  wheel_set(&wheel, &a.timer, 5000);
  wheel_set(&wheel, &b.timer, 5000);
  wheel_cancel(&wheel, &a.timer);
  wheel_cancel(&wheel, &a.timer);
  assert_false(wheel_is_set(&a.timer));
  assert_true(wheel_next(&wheel) <= 5000);
  wheel_cancel(&wheel, &b.timer);
  assert_true(wheel_next(&wheel) == CLOCK_NEVER);
  wheel_advance(&wheel, 10000);
  assert_int_equal(a.expired + b.expired, 0);
}

static void setting_again_moves_a_timer(void **state) {
  (void)state;
  struct wheel wheel;
  wheel_init(&wheel, 0);
  struct probe probe = probe_of(&wheel);
  wheel_set(&wheel, &probe.timer, 100);
  wheel_set(&wheel, &probe.timer, 100000);
  wheel_advance(&wheel, 99999);
  assert_int_equal(probe.expired, 0);
  wheel_set(&wheel, &probe.timer, 100010);
  wheel_set(&wheel, &probe.timer, 100005);
  wheel_advance(&wheel, 100005);
  assert_int_equal(probe.expired, 1);
}

static void a_deadline_that_has_passed_expires_at_the_next_advance(void **state) {
  (void)state;
  struct wheel wheel;
  wheel_init(&wheel, 1000);
  struct probe past = probe_of(&wheel), present = probe_of(&wheel);
  wheel_set(&wheel, &past.timer, 10);
  wheel_set(&wheel, &present.timer, 1000);
  assert_int_equal(wheel_next(&wheel), 1000);
  wheel_advance(&wheel, 1000);
  assert_int_equal(past.expired, 1);
  assert_int_equal(present.expired, 1);
}

static void what_a_callback_sets_for_now_waits_for_the_next_advance(void **state) {
  (void)state;
  struct wheel wheel;
  wheel_init(&wheel, 0);
  struct probe probe = probe_of(&wheel);
  wheel_set(&wheel, &probe.timer, 10);
  probe.again = 20;
  wheel_advance(&wheel, 1000000);
  assert_int_equal(probe.expired, 1);
  assert_int_equal(wheel_next(&wheel), 1000000);
  wheel_advance(&wheel, 1000000);
  assert_int_equal(probe.expired, 2);
}

static void a_callback_cancels_others_of_its_slot_and_of_its_advance(void **state) {
  (void)state;
  struct wheel wheel;
  wheel_init(&wheel, 0);
  struct probe a = probe_of(&wheel), b = probe_of(&wheel), early = probe_of(&wheel), late = probe_of(&wheel);
  a.cancels = &b; /* whichever comes first; the other must not come */
  b.cancels = &a;
  early.cancels = &late;
  wheel_set(&wheel, &a.timer, 500);
  wheel_set(&wheel, &b.timer, 500);
  wheel_set(&wheel, &early.timer, 600);
  wheel_set(&wheel, &late.timer, 90000);
  wheel_advance(&wheel, 100000);
  assert_int_equal(a.expired + b.expired, 1);
  assert_int_equal(early.expired, 1);
  assert_int_equal(late.expired, 0);
  assert_true(wheel_next(&wheel) == CLOCK_NEVER);
}

static void on_expired_free(struct wheel_timer *timer) { free(timer); }

static void a_callback_may_free_its_timer(void **state) {
  (void)state;
  struct wheel wheel;
  wheel_init(&wheel, 0);
  for (clock_ms i = 0; i < 100; i++) {
    struct wheel_timer *timer = calloc(1, sizeof *timer);
    assert_non_null(timer);
    timer->on_expired = on_expired_free;
    wheel_set(&wheel, timer, i / 3);
  }
  wheel_advance(&wheel, 100);
  assert_true(wheel_next(&wheel) == CLOCK_NEVER);
}

static void time_does_not_go_back(void **state) {
  (void)state;
  struct wheel wheel;
  wheel_init(&wheel, 1000);
  struct probe probe = probe_of(&wheel);
  wheel_set(&wheel, &probe.timer, 1010);
  wheel_advance(&wheel, 500);
  assert_int_equal(wheel.now, 1000);
  wheel_advance(&wheel, 1010);
  assert_int_equal(probe.expired, 1);
}

static void never_stays_set_for_centuries(void **state) {
  (void)state;
  struct wheel wheel;
  wheel_init(&wheel, 77);
  struct probe probe = probe_of(&wheel);
  wheel_set(&wheel, &probe.timer, CLOCK_NEVER);
  for (int i = 1; i <= 5; i++)
    wheel_advance(&wheel, (clock_ms)i << 43);
  assert_int_equal(probe.expired, 0);
  assert_true(wheel_is_set(&probe.timer));
  assert_true(wheel_next(&wheel) > wheel.now);
}

/* The model: each timer's deadline (0: not set), and which of them an advance still has to expire. */
enum { TIMERS = 40, STEPS = 60000 };

struct model {
  struct wheel wheel;
  struct item {
    struct wheel_timer timer;
    struct model *model;
    clock_ms deadline;
    bool expected;
  } items[TIMERS];
  clock_ms now;
  bool advancing;
  uint64_t random;
};

static uint64_t draw(struct model *model, uint64_t below) {
  model->random ^= model->random << 13;
  model->random ^= model->random >> 7;
  model->random ^= model->random << 17;
  return (model->random >> 11) % below;
}

static clock_ms draw_deadline(struct model *model) {
  clock_ms spread = UINT64_C(1) << draw(model, draw(model, 10) ? 24 : 44);
  switch (draw(model, 8)) {
  case 0:
    return model->now - draw(model, model->now < 100 ? model->now + 1 : 100);
  case 1: /* on the edge of a slot */
    return (model->now + spread) & ~(spread - 1);
  case 2: /* with another */
    return model->items[draw(model, TIMERS)].deadline;
  default:
    return model->now + draw(model, spread) + 1;
  }
}

static void model_set(struct model *model, struct item *item) {
  item->deadline = draw_deadline(model);
  if (item->deadline == 0)
    item->deadline = 1;
  item->expected = false;
  wheel_set(&model->wheel, &item->timer, item->deadline);
}

static void model_cancel(struct model *model, struct item *item) {
  item->deadline = 0;
  item->expected = false;
  wheel_cancel(&model->wheel, &item->timer);
}

static void on_item_expired(struct wheel_timer *timer) {
  struct item *item = (struct item *)(void *)timer;
  struct model *model = item->model;
  assert_true(model->advancing);
  assert_true(item->expected);
  assert_true(item->deadline <= model->now);
  item->expected = false;
  item->deadline = 0;
  for (uint64_t i = draw(model, 4); i > 0; i--) {
    struct item *other = draw(model, 3) ? &model->items[draw(model, TIMERS)] : item;
    if (draw(model, 2))
      model_set(model, other);
    else
      model_cancel(model, other);
  }
}

static void model_advance(struct model *model) {
  clock_ms next = wheel_next(&model->wheel);
  if (draw(model, 2) && next != CLOCK_NEVER)
    model->now = next > model->now ? next : model->now;
  else
    model->now += draw(model, UINT64_C(1) << draw(model, draw(model, 50) ? 20 : 43));
  for (size_t i = 0; i < TIMERS; i++)
    model->items[i].expected = model->items[i].deadline && model->items[i].deadline <= model->now;
  model->advancing = true;
  wheel_advance(&model->wheel, model->now);
  model->advancing = false;
  for (size_t i = 0; i < TIMERS; i++)
    assert_false(model->items[i].expected);
}

static void model_compare(struct model *model) {
  clock_ms earliest = CLOCK_NEVER, next = wheel_next(&model->wheel);
  for (size_t i = 0; i < TIMERS; i++) {
    struct item *item = &model->items[i];
    assert_int_equal(wheel_is_set(&item->timer), item->deadline != 0);
    if (item->deadline && item->deadline < earliest)
      earliest = item->deadline;
  }
  if (earliest == CLOCK_NEVER) {
    assert_true(next == CLOCK_NEVER);
  } else if (earliest <= model->now) {
    assert_true(next <= model->now);
  } else {
    assert_true(next <= earliest);
    model->wheel.next = WHEEL_NEXT_UNKNOWN; /* what it knew is what it finds */
    assert_true(wheel_next(&model->wheel) == next);
    assert_true(next > model->now); /* or a loop would spin */
  }
}

static void random_operations_match_a_model_that_looks_at_every_timer(void **state) {
  (void)state;
  for (uint64_t seed = 1; seed <= 8; seed++) {
    struct model *model = calloc(1, sizeof *model);
    assert_non_null(model);
    model->random = seed * UINT64_C(0x9e3779b97f4a7c15);
    model->now = draw(model, UINT64_C(1) << (seed * 5));
    wheel_init(&model->wheel, model->now);
    for (size_t i = 0; i < TIMERS; i++)
      model->items[i] = (struct item){.timer.on_expired = on_item_expired, .model = model};
    for (int step = 0; step < STEPS && model->now < UINT64_C(1) << 60; step++) {
      struct item *item = &model->items[draw(model, TIMERS)];
      switch (draw(model, 4)) {
      case 0:
        model_advance(model);
        break;
      case 1:
        model_cancel(model, item);
        break;
      default:
        model_set(model, item);
      }
      model_compare(model);
    }
    free(model);
  }
}

static clock_ms *order_last;
static void on_ordered_expired(struct wheel_timer *timer) {
  assert_true(timer->deadline >= *order_last);
  *order_last = timer->deadline;
}

static void timers_expire_in_the_order_of_their_deadlines(void **state) {
  (void)state;
  struct wheel wheel;
  wheel_init(&wheel, 1000);
  struct wheel_timer timers[500];
  memset(timers, 0, sizeof timers);
  clock_ms last = 0;
  order_last = &last;
  uint64_t value = 1;
  for (size_t i = 0; i < 500; i++) {
    value = value * UINT64_C(6364136223846793005) + 1442695040888963407u;
    timers[i].on_expired = on_ordered_expired;
    wheel_set(&wheel, &timers[i], 1001 + (value >> 33) % (i % 2 ? 200 : 10000000));
  }
  wheel_advance(&wheel, 20000000);
  assert_true(last > 1001);
  assert_true(wheel_next(&wheel) == CLOCK_NEVER);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(a_timer_expires_at_its_deadline_and_once),
      cmocka_unit_test(going_only_where_next_says_takes_few_steps),
      cmocka_unit_test(a_cancelled_timer_does_not_expire_and_leaves_no_trace),
      cmocka_unit_test(setting_again_moves_a_timer),
      cmocka_unit_test(a_deadline_that_has_passed_expires_at_the_next_advance),
      cmocka_unit_test(what_a_callback_sets_for_now_waits_for_the_next_advance),
      cmocka_unit_test(a_callback_cancels_others_of_its_slot_and_of_its_advance),
      cmocka_unit_test(a_callback_may_free_its_timer),
      cmocka_unit_test(time_does_not_go_back),
      cmocka_unit_test(never_stays_set_for_centuries),
      cmocka_unit_test(random_operations_match_a_model_that_looks_at_every_timer),
      cmocka_unit_test(timers_expire_in_the_order_of_their_deadlines),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
