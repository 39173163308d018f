/* SPDX-License-Identifier: MIT
 *
 * Loading many: what it costs grows with how many there are, not with their square. */
#include "../support/load_fixture.h"
#include "../support/scaling.h"

/* A list of routes, to be freed. */
static char *many_routes(size_t count, const char *prefix) {
  char *text = NULL;
  size_t size;
  FILE *out = open_memstream(&text, &size);
  assert_non_null(out);
  fputs("return {\n", out);
  for (size_t i = 0; i < count; i++)
    fprintf(out, "{ name = '%s%zu', match = { ports = %zu }, action = { target = 'a:1' } },\n", prefix, i,
            1 + i % 60000);
  fputs("}\n", out);
  assert_int_equal(fclose(out), 0);
  return text;
}

static void write_routes(struct fixture *fixture, const char *name, size_t count, const char *prefix) {
  char *text = many_routes(count, prefix);
  write_file(fixture, name, text);
  free(text);
}

static double check_candidate(void *context, size_t count) {
  struct fixture *fixture = context;
  struct fault_list faults = {0};
  struct route_table *table = NULL;
  char *text = many_routes(count, "new");
  double began = scaling_cpu();
  assert_int_equal(
      loader_check_candidate(fixture->loader, &fixture->config, "new.lua", text, strlen(text), &faults, &table), 0);
  double took = scaling_cpu() - began;
  assert_int_equal(table->routes[count - 1]->line, (int)count + 1);
  route_table_unref(table);
  free(text);
  return took;
}

static void a_candidate_costs_what_its_routes_do(void **state) { assert_scales(check_candidate, *state, 250); }

static double check_beside(void *context, size_t count) {
  struct fixture *fixture = context;
  write_routes(fixture, "routes/live.lua", count, "live");
  assert_int_equal(load_and_commit(fixture), 0);
  return check_candidate(context, 10);
}

/* A candidate of a few routes beside many: what is live is not gone through in Lua. */
static void a_candidate_beside_many_does_not_cost_what_they_do(void **state) {
  struct fixture *fixture = *state;
  check_beside(fixture, 10);
  double few = 1, many = 1;
  for (int i = 0; i < SCALING_TRIES && (i == 0 || many > SCALING_MOST * few); i++) {
    few = check_beside(fixture, 10);
    many = check_beside(fixture, 4000);
  }
  if (many > SCALING_MOST * few)
    fail_msg("%.1f ms beside a few, %.1f ms beside 4000", few * 1e3, many * 1e3);
}

static void refused_candidates_leave_nothing_behind(void **state) {
  struct fixture *fixture = *state;
  char *text = many_routes(500, "live");
  write_file(fixture, "routes/live.lua", text);
  assert_int_equal(load_and_commit(fixture), 0);
  char *first = strstr(text, "live0");
  size_t memory = 0;
  for (int i = 0; i < 26; i++) {
    struct fault_list faults = {0};
    first[0] = (char)('A' + i); /* the same text would be one string */
    assert_int_equal(
        loader_check_candidate(fixture->loader, &fixture->config, "new.lua", text, strlen(text), &faults, NULL),
        -EINVAL);
    fault_list_clear(&faults);
    if (i == 9)
      memory = fixture->loader->trusted->memory_used;
  }
  assert_in_range(fixture->loader->trusted->memory_used, 0, memory + 320 * 1024);
  free(text);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      TEST(a_candidate_costs_what_its_routes_do),
      TEST(a_candidate_beside_many_does_not_cost_what_they_do),
      TEST(refused_candidates_leave_nothing_behind),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
