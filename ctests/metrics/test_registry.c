/* SPDX-License-Identifier: MIT
 *
 * The metrics of scripts: what they add up to, among threads that race, what counts as the same metric, and the bound.
 */
#include "metrics/registry.h"

#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

enum { THREADS = 4, TIMES = 10000 };

static const char *const labels[] = {"a", "b"};
static const double bounds[] = {1, 10};

static const struct registry_definition counter = {
    .kind = REGISTRY_COUNTER, .name = "c", .help = "", .labels = labels, .label_count = 2};
static const struct registry_definition gauge = {.kind = REGISTRY_GAUGE, .name = "g", .help = ""};
static const struct registry_definition histogram = {
    .kind = REGISTRY_HISTOGRAM, .name = "h", .help = "", .buckets = bounds, .bucket_count = 2};

static struct registry_metric *define(struct registry *registry, const struct registry_definition *definition) {
  int status = 0;
  struct registry_metric *metric = registry_define(registry, definition, &status);
  assert_non_null(metric);
  return metric;
}

struct seen {
  char text[512];
};

static void on_metric(void *context, const struct registry_definition *definition) {
  struct seen *seen = context;
  size_t length = strlen(seen->text);
  snprintf(seen->text + length, sizeof seen->text - length, "%s:", definition->name);
}

static void on_series(void *context, const struct registry_definition *definition,
                      const struct registry_series *series) {
  struct seen *seen = context;
  for (size_t i = 0; i < definition->label_count; i++) {
    size_t length = strlen(seen->text);
    snprintf(seen->text + length, sizeof seen->text - length, "%s,", series->values[i]);
  }
  size_t length = strlen(seen->text);
  snprintf(seen->text + length, sizeof seen->text - length, "%g", series->number);
  for (size_t i = 0; i < definition->bucket_count; i++) {
    length = strlen(seen->text);
    snprintf(seen->text + length, sizeof seen->text - length, "/%d", (int)series->counts[i]);
  }
  length = strlen(seen->text);
  snprintf(seen->text + length, sizeof seen->text - length, "#%d ", (int)series->count);
}

static void expect(struct registry *registry, const char *text) {
  struct seen seen = {.text = ""};
  registry_read(registry, on_metric, on_series, &seen);
  assert_string_equal(text, seen.text);
}

static void each_series_has_its_own_number(void **context) {
  (void)context;
  struct registry *registry = registry_new();
  struct registry_metric *c = define(registry, &counter), *g = define(registry, &gauge);
  struct registry_metric *h = define(registry, &histogram);
  assert_int_equal(0, registry_change(registry, c, (const char *[]){"x", "yz"}, REGISTRY_ADD, 2));
  assert_int_equal(0, registry_change(registry, c, (const char *[]){"xy", "z"}, REGISTRY_ADD, 3));
  assert_int_equal(0, registry_change(registry, c, (const char *[]){"x", "yz"}, REGISTRY_ADD, 1));
  assert_int_equal(0, registry_change(registry, g, NULL, REGISTRY_SET, 5));
  assert_int_equal(0, registry_change(registry, g, NULL, REGISTRY_ADD, -1));
  for (int i = 0; i < 12; i++)
    assert_int_equal(0, registry_change(registry, h, NULL, REGISTRY_OBSERVE, i));
  expect(registry, "c:x,yz,3#0 xy,z,3#0 g:4#0 h:66/2/9#12 ");
  registry_free(registry);
}

static void a_name_is_defined_once(void **context) {
  (void)context;
  struct registry *registry = registry_new();
  int status = 0;
  struct registry_metric *c = define(registry, &counter);
  struct registry_definition other = counter;
  assert_ptr_equal(c, define(registry, &counter));
  other.label_count = 1;
  assert_null(registry_define(registry, &other, &status));
  assert_int_equal(-EEXIST, status);
  other = counter;
  other.kind = REGISTRY_GAUGE;
  assert_null(registry_define(registry, &other, &status));
  assert_int_equal(-EEXIST, status);
  define(registry, &histogram);
  other = histogram;
  other.buckets = (const double[]){1, 11};
  assert_null(registry_define(registry, &other, &status));
  assert_int_equal(-EEXIST, status);
  registry_free(registry);
}

static void series_are_bounded_and_what_is_lost_is_counted(void **context) {
  (void)context;
  struct registry *registry = registry_new();
  struct registry_metric *c = define(registry, &counter), *h = define(registry, &histogram);
  registry_limit(registry, 1000);
  for (int i = 0; i < 1100; i++) {
    char value[16];
    snprintf(value, sizeof value, "%d", i);
    int wanted = i < 1000 ? 0 : -ENOSPC;
    assert_int_equal(wanted, registry_change(registry, c, (const char *[]){value, ""}, REGISTRY_ADD, 1));
  }
  assert_int_equal(-ENOSPC, registry_change(registry, h, NULL, REGISTRY_OBSERVE, 1));
  assert_int_equal(101, registry_dropped(registry));
  assert_int_equal(0, registry_change(registry, c, (const char *[]){"7", ""}, REGISTRY_ADD, 1));
  registry_limit(registry, 2);
  int status = 0;
  assert_null(registry_define(registry, &gauge, &status));
  assert_int_equal(-ENOSPC, status);
  registry_free(registry);
}

static void a_long_value_is_cut_and_stays_the_same_series(void **context) {
  (void)context;
  struct registry *registry = registry_new();
  struct registry_metric *c = define(registry, &counter);
  char longer[600], longest[700];
  memset(longer, 'x', sizeof longer - 1);
  memset(longest, 'x', sizeof longest - 1);
  longer[sizeof longer - 1] = longest[sizeof longest - 1] = '\0';
  registry_limit(registry, 1);
  assert_int_equal(0, registry_change(registry, c, (const char *[]){longer, ""}, REGISTRY_ADD, 1));
  assert_int_equal(0, registry_change(registry, c, (const char *[]){longest, ""}, REGISTRY_ADD, 1));
  registry_free(registry);
}

struct racer {
  struct registry *registry;
  struct registry_metric *metric;
};

static void *race(void *context) {
  const struct racer *racer = context;
  for (int i = 0; i < TIMES; i++) {
    const char *value = i % 2 ? "odd" : "even";
    registry_change(racer->registry, racer->metric, (const char *[]){value, ""}, REGISTRY_ADD, 1);
  }
  return NULL;
}

static void threads_that_race_lose_nothing(void **context) {
  (void)context;
  struct registry *registry = registry_new();
  struct racer racer = {registry, define(registry, &counter)};
  pthread_t threads[THREADS];
  for (int i = 0; i < THREADS; i++)
    assert_int_equal(0, pthread_create(&threads[i], NULL, race, &racer));
  for (int i = 0; i < THREADS; i++)
    pthread_join(threads[i], NULL);
  struct seen seen = {.text = ""};
  registry_read(registry, on_metric, on_series, &seen);
  assert_non_null(strstr(seen.text, "odd,,20000#0 "));
  assert_non_null(strstr(seen.text, "even,,20000#0 "));
  registry_free(registry);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(each_series_has_its_own_number),
      cmocka_unit_test(a_name_is_defined_once),
      cmocka_unit_test(series_are_bounded_and_what_is_lost_is_counted),
      cmocka_unit_test(a_long_value_is_cut_and_stays_the_same_series),
      cmocka_unit_test(threads_that_race_lose_nothing),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
