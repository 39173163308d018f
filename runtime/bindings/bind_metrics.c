/* SPDX-License-Identifier: MIT
 *
 * moongate.metrics.counter, gauge and histogram: the metrics that scripts make. Of what the runtime measures itself
 * bind_measure.c tells. */
#include "bindings/bind_moongate.h"
#include "script/arguments.h"
#include "script/scheduler.h"
#include "script/shared.h"

#include <ctype.h>
#include <errno.h>
#include <lauxlib.h>
#include <math.h>
#include <string.h>

enum { NAME_MOST = 200 };

struct metric {
  struct registry *registry;
  struct registry_metric *metric;
};

enum { KINDS = REGISTRY_HISTOGRAM + 1 };

static const char *const metatables[] = {[REGISTRY_COUNTER] = "moongate.counter",
                                         [REGISTRY_GAUGE] = "moongate.gauge",
                                         [REGISTRY_HISTOGRAM] = "moongate.histogram"};
_Static_assert(sizeof metatables / sizeof metatables[0] == KINDS, "a metatable for each kind");

static const double default_buckets[] = {0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10};

static struct metric *check_metric(lua_State *L, enum registry_kind kind) {
  static const char *const wanted[] = {
      [REGISTRY_COUNTER] = "a counter", [REGISTRY_GAUGE] = "a gauge", [REGISTRY_HISTOGRAM] = "a histogram"};
  _Static_assert(sizeof wanted / sizeof wanted[0] == KINDS, "words for each kind");
  struct metric *metric = lua_touserdata(L, 1);
  bool is_one = metric != NULL && lua_getmetatable(L, 1);
  if (is_one) {
    luaL_getmetatable(L, metatables[kind]);
    is_one = lua_rawequal(L, -1, -2);
    lua_pop(L, 2);
  }
  argument_check(L, is_one, 1, wanted[kind]);
  return metric;
}

static lua_Number check_number(lua_State *L, int index, bool negative) {
  lua_Number number = lua_tonumber(L, index);
  argument_check(L, lua_isnumber(L, index), index, "a number");
  if (isnan(number) || (number < 0 && !negative))
    argument_error(L, index, negative ? "a number expected, got nan" : "a number of 0 or more expected");
  return number;
}

/* The values of the labels from the table at `index`: by place, or by name. They stay on the stack. */
static void read_values(lua_State *L, int index, const struct registry_definition *definition, const char **values) {
  if (definition->label_count == 0)
    return;
  argument_check(L, lua_istable(L, index), index, "a table with the values of its labels");
  luaL_checkstack(L, REGISTRY_LABELS_MOST + 8, "too many labels");
  for (size_t i = 0; i < definition->label_count; i++) {
    lua_rawgeti(L, index, (int)i + 1);
    if (lua_isnil(L, -1)) {
      lua_pop(L, 1);
      lua_pushstring(L, definition->labels[i]);
      lua_rawget(L, index);
    }
    if (lua_isboolean(L, -1)) {
      lua_pushstring(L, lua_toboolean(L, -1) ? "true" : "false");
      lua_replace(L, -2);
    }
    values[i] = lua_tostring(L, -1);
    if (values[i] == NULL)
      argument_error(L, index,
                     lua_pushfstring(L, "the label '%s' has %s for its value; a string, a number or a boolean expected",
                                     definition->labels[i], luaL_typename(L, -1)));
  }
}

static int metric_change(lua_State *L, const struct metric *metric, enum registry_step step, double number) {
  const char *values[REGISTRY_LABELS_MOST];
  read_values(L, 3, registry_definition_of(metric->metric), values);
  int status = registry_change(metric->registry, metric->metric, values, step, number);
  if (status == 0) {
    lua_pushboolean(L, 1);
    return 1;
  }
  lua_pushnil(L);
  lua_pushstring(L, status == -ENOSPC ? "too many series" : "no memory");
  return 2;
}

static lua_Number opt_step(lua_State *L, bool negative) {
  return lua_isnoneornil(L, 2) ? 1 : check_number(L, 2, negative);
}

static int counter_inc(lua_State *L) {
  const struct metric *metric = check_metric(L, REGISTRY_COUNTER);
  return metric_change(L, metric, REGISTRY_ADD, opt_step(L, false));
}

static int gauge_inc(lua_State *L) {
  const struct metric *metric = check_metric(L, REGISTRY_GAUGE);
  return metric_change(L, metric, REGISTRY_ADD, opt_step(L, true));
}

static int gauge_dec(lua_State *L) {
  const struct metric *metric = check_metric(L, REGISTRY_GAUGE);
  return metric_change(L, metric, REGISTRY_ADD, -opt_step(L, true));
}

static int gauge_set(lua_State *L) {
  const struct metric *metric = check_metric(L, REGISTRY_GAUGE);
  return metric_change(L, metric, REGISTRY_SET, check_number(L, 2, true));
}

static int histogram_observe(lua_State *L) {
  const struct metric *metric = check_metric(L, REGISTRY_HISTOGRAM);
  return metric_change(L, metric, REGISTRY_OBSERVE, check_number(L, 2, true));
}

const luaL_Reg counter_methods[] = {{"inc", counter_inc}, {NULL, NULL}};
const luaL_Reg gauge_methods[] = {{"inc", gauge_inc}, {"dec", gauge_dec}, {"set", gauge_set}, {NULL, NULL}};
const luaL_Reg histogram_methods[] = {{"observe", histogram_observe}, {NULL, NULL}};

/* Of metrics ":" is allowed as well. */
static bool is_name(const char *name, bool colons) {
  if (isdigit((unsigned char)name[0]) || name[0] == '\0' || strlen(name) > NAME_MOST)
    return false;
  for (const char *at = name; *at != '\0'; at++)
    if (!isalnum((unsigned char)*at) && *at != '_' && !(colons && *at == ':'))
      return false;
  return true;
}

/* "", which is no name, for what is no text. */
static const char *metric_name_at(lua_State *L, int index) {
  const char *name = argument_text(L, index);
  return name != NULL ? name : "";
}

static void check_name(lua_State *L, struct registry_definition *definition) {
  argument_check(L, lua_type(L, 1) == LUA_TSTRING, 1, "a name");
  definition->name = metric_name_at(L, 1);
  if (!is_name(definition->name, true))
    argument_error(L, 1, "the name of a metric expected: letters, digits, '_' and ':', no digit first");
  if (strncmp(definition->name, "moongate_", 9) == 0)
    argument_error(L, 1, "names that begin with 'moongate_' are the runtime's own");
  definition->help = lua_isnoneornil(L, 2) ? "" : argument_check_string(L, 2, &(size_t){0});
}

static void check_labels(lua_State *L, struct registry_definition *definition, const char **labels) {
  definition->labels = labels;
  if (lua_isnoneornil(L, 3))
    return;
  argument_check(L, lua_istable(L, 3), 3, "a list of the names of its labels");
  size_t count = lua_objlen(L, 3);
  if (count > REGISTRY_LABELS_MOST)
    argument_error(L, 3, "at most 8 labels expected");
  luaL_checkstack(L, (int)count + 4, "too many labels");
  for (size_t i = 0; i < count; i++) {
    lua_rawgeti(L, 3, (int)i + 1); /* stays, so that the text does */
    labels[i] = metric_name_at(L, -1);
    if (!is_name(labels[i], false) || strncmp(labels[i], "__", 2) == 0 || strcmp(labels[i], "le") == 0)
      argument_error(L, 3, "names of labels expected: letters, digits and '_', no digit first, not 'le'");
    for (size_t other = 0; other < i; other++)
      if (strcmp(labels[other], labels[i]) == 0)
        argument_error(L, 3, lua_pushfstring(L, "the label '%s' stands there twice", labels[i]));
  }
  definition->label_count = count;
}

static void check_buckets(lua_State *L, struct registry_definition *definition, double *buckets) {
  definition->buckets = default_buckets;
  definition->bucket_count = sizeof default_buckets / sizeof default_buckets[0];
  if (lua_isnoneornil(L, 4))
    return;
  argument_check(L, lua_istable(L, 4), 4, "a list of the upper bounds of its buckets");
  size_t count = lua_objlen(L, 4);
  if (count == 0 || count > REGISTRY_BUCKETS_MOST)
    argument_error(L, 4, "1 to 64 upper bounds expected");
  for (size_t i = 0; i < count; i++) {
    lua_rawgeti(L, 4, (int)i + 1);
    buckets[i] = lua_tonumber(L, -1);
    if (!lua_isnumber(L, -1) || !isfinite(buckets[i]) || (i > 0 && buckets[i] <= buckets[i - 1]))
      argument_error(L, 4, "upper bounds expected: finite numbers, each greater than the one before");
    lua_pop(L, 1);
  }
  definition->buckets = buckets;
  definition->bucket_count = count;
}

static int metric_refuse(lua_State *L, const char *name, int status) {
  if (status == -EEXIST)
    return luaL_error(L,
                      "moongate.metrics: there is a metric '%s' already, of another kind or with other labels or "
                      "buckets; what it has counted stays until the next start, so this one needs another name",
                      name);
  if (status == -ENOSPC)
    return luaL_error(L, "moongate.metrics: there are as many metrics as limits.metric_series allows");
  return luaL_error(L, "moongate.metrics: not enough memory");
}

static int define(lua_State *L, enum registry_kind kind, const luaL_Reg *methods) {
  struct registry_definition definition = {.kind = kind};
  const char *labels[REGISTRY_LABELS_MOST];
  double buckets[REGISTRY_BUCKETS_MOST];
  lua_settop(L, 4);
  check_name(L, &definition);
  check_labels(L, &definition, labels);
  if (kind == REGISTRY_HISTOGRAM)
    check_buckets(L, &definition, buckets);
  struct script_shared *shared = script_state_shared(script_state_of(L));
  int status = -ENOMEM;
  struct registry_metric *metric =
      shared != NULL ? registry_define(script_shared_metrics(shared), &definition, &status) : NULL;
  if (metric == NULL)
    return metric_refuse(L, definition.name, status);
  struct metric *made = lua_newuserdata(L, sizeof *made);
  *made = (struct metric){script_shared_metrics(shared), metric};
  script_push_methods(L, metatables[kind], methods);
  lua_setmetatable(L, -2);
  return 1;
}

static int metrics_counter(lua_State *L) { return define(L, REGISTRY_COUNTER, counter_methods); }
static int metrics_gauge(lua_State *L) { return define(L, REGISTRY_GAUGE, gauge_methods); }
static int metrics_histogram(lua_State *L) { return define(L, REGISTRY_HISTOGRAM, histogram_methods); }

const luaL_Reg metrics_functions[] = {
    {"counter", metrics_counter},
    {"gauge", metrics_gauge},
    {"histogram", metrics_histogram},
    {NULL, NULL},
};
