/* SPDX-License-Identifier: MIT
 *
 * Every option that the schema declares, from pairs of files that differ in it alone (option_samples.lua): it arrives
 * in C, a reload takes it or says that it waits, and what it makes different is not taken for the same. */
#include "../loading/directory_fixture.h"

#include "instance/instance.h"
#include "routing/option.h"

#include <lauxlib.h>
#include <lualib.h>

struct sample {
  const char *kind, *path, *before, *after;
  bool is_function;
};

/* [samples, i: sample] */
static struct sample sample_at(lua_State *L, int i) {
  struct sample sample;
  lua_settop(L, 1);
  lua_rawgeti(L, 1, i);
  const char **texts[] = {&sample.kind, &sample.path, &sample.before, &sample.after};
  static const char *const keys[] = {"kind", "path", "before", "after"};
  for (size_t k = 0; k < 4; k++) {
    lua_getfield(L, 2, keys[k]);
    *texts[k] = lua_tostring(L, -1); /* the sample keeps it */
  }
  lua_getfield(L, 2, "is_function");
  sample.is_function = lua_toboolean(L, -1);
  return sample;
}

static lua_State *read_samples(void) {
  lua_State *L = luaL_newstate();
  assert_non_null(L);
  luaL_openlibs(L);
  if (luaL_dofile(L, "ctests/instance/option_samples.lua") != 0)
    fail_msg("%s", lua_tostring(L, -1));
  assert_in_range(lua_objlen(L, 1), 60, 1000);
  return L;
}

static const struct option *find_option(const struct options *options, const char *path) {
  for (size_t i = 0; i < options->count; i++)
    if (strcmp(options->options[i].path, path) == 0)
      return &options->options[i];
  return NULL;
}

static bool has_same(const struct option *option, const void *a, const void *b) {
  const void *x = (const char *)a + option->offset, *y = (const char *)b + option->offset;
  if (option->kind == OPTION_IP_SET)
    return ip_set_same(*(struct ip_set *const *)x, *(struct ip_set *const *)y);
  if (option->kind == OPTION_PROXY_SEND)
    return ((const struct route_proxy_send *)x)->version == ((const struct route_proxy_send *)y)->version;
  if (option->kind != OPTION_TEXTS)
    return option_equal(option, a, b);
  char **list = *(char **const *)x, **other = *(char **const *)y;
  size_t count = *(const size_t *)((char **const *)x + 1);
  if (count != *(const size_t *)((char **const *)y + 1))
    return false;
  for (size_t i = 0; i < count; i++)
    if (strcmp(list[i], other[i]) != 0)
      return false;
  return true;
}

/* The config of that text, the fixture's no more. */
static struct config config_of(struct fixture *fixture, const char *text) {
  if (read_config(fixture, text) != 0) {
    print_faults(&fixture->faults);
    fail_msg("a fault in %s", text);
  }
  struct config config = fixture->config;
  fixture->config = (struct config){0};
  return config;
}

static bool is_noted(const struct value *notes, const struct option *option) {
  size_t length = strlen(option->waits);
  for (const struct value *note = notes->first; note; note = note->next)
    if (strncmp(note->string, option->waits, length) == 0 && note->string[length] == ' ')
      return true;
  return false;
}

static void check_config_option(struct fixture *fixture, const struct sample *sample) {
  const struct option *option = find_option(&config_options, sample->path);
  const struct option *of_policy = option ? NULL : find_option(&policy_options, sample->path);
  if (!option && !of_policy)
    fail_msg("%s is declared, and not read", sample->path);
  struct config live = config_of(fixture, sample->before), next = config_of(fixture, sample->after),
                wanted = config_of(fixture, sample->after);
  struct config *all[] = {&live, &next, &wanted};
  if (option ? has_same(option, &live, &wanted) : has_same(of_policy, live.policy, wanted.policy))
    fail_msg("%s does not arrive in C", sample->path);
  if ((live.digest != wanted.digest) != (option && option->is_compared) ||
      (live.policy->digest != wanted.policy->digest) != !option)
    fail_msg("%s: what was loaded by another value is taken for the same, or anew in vain", sample->path);
  struct value *notes = reconfigure_prepare(&live, &next);
  assert_non_null(notes);
  if (option && option->waits ? !is_noted(notes, option) : notes->first != NULL)
    fail_msg("%s: a reload does not say that it waits, or says so of what it takes", sample->path);
  config_take(&live, &next);
  bool is_taken = option ? has_same(option, &live, &wanted) : has_same(of_policy, live.policy, wanted.policy);
  if (is_taken == (option && option->waits != NULL))
    fail_msg("%s: a reload takes what waits, or leaves what does not", sample->path);
  if (live.digest != wanted.digest || live.policy->digest != wanted.policy->digest)
    fail_msg("%s: after a reload, files are compared with the config before it", sample->path);
  value_free(notes);
  for (size_t i = 0; i < 3; i++)
    config_clear(all[i]);
}

static struct route *route_of_text(struct fixture *fixture, const char *text) {
  write_file(fixture, "routes/a.lua", text);
  if (load(fixture, 1) != 0) {
    print_faults(&fixture->loaded.faults);
    fail_msg("a fault in %s", text);
  }
  return route_ref((struct route *)route_at(fixture, 0, 0));
}

static void check_route_option(struct fixture *fixture, const struct sample *sample) {
  const struct option *option = find_option(&route_options, sample->path);
  struct route *before = route_of_text(fixture, sample->before), *after = route_of_text(fixture, sample->after);
  if (route_equal(before, after))
    fail_msg("two routes that differ in %s alone are taken for the same", sample->path);
  if (option && has_same(option, before, after))
    fail_msg("%s does not arrive in C", sample->path);
  if (sample->is_function && !route_has_functions(after))
    fail_msg("%s is a function that nobody knows of", sample->path);
  route_unref(before);
  route_unref(after);
}

static size_t check_options(struct fixture *fixture, const char *kind,
                            void check(struct fixture *fixture, const struct sample *sample)) {
  lua_State *L = read_samples();
  size_t checked = 0;
  for (int i = 1; i <= (int)lua_objlen(L, 1); i++) {
    struct sample sample = sample_at(L, i);
    if (strcmp(sample.kind, kind) != 0)
      continue;
    check(fixture, &sample);
    checked++;
  }
  lua_close(L);
  return checked;
}

static void every_option_of_the_config_is_read_and_reloaded(void **state) {
  assert_in_range(check_options(*state, "config", check_config_option), 40, 1000);
}

static void every_option_of_a_route_makes_another_route(void **state) {
  assert_in_range(check_options(*state, "route", check_route_option), 25, 1000);
}

static void routes_are_equal_that_say_the_same_elsewhere_or_in_another_order(void **state) {
  struct fixture *fixture = *state;
  struct route *a = route_of_text(fixture, "return { name = 'a', tags = { 'x' }, match = { ports = { 80, 81 } },\n"
                                           "  action = { target = 'b:1' } }");
  struct route *b = route_of_text(fixture, "\n\nreturn { { action = { target = { port = 1, host = 'b' } },\n"
                                           "  match = { ports = '80-81' }, tags = 'x', name = 'a' } }");
  assert_int_not_equal(a->line, b->line);
  assert_true(route_equal(a, b));
  route_unref(a);
  route_unref(b);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      TEST(every_option_of_the_config_is_read_and_reloaded),
      TEST(every_option_of_a_route_makes_another_route),
      TEST(routes_are_equal_that_say_the_same_elsewhere_or_in_another_order),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
