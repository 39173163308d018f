/* SPDX-License-Identifier: MIT
 *
 * The table of questions. What they answer is Lua's to filter further, to sort, to word. */
#include "control/questions.h"

#include "control/measure.h"
#include "instance/instance.h"
#include "instance/runtime.h"
#include "loading/load.h"
#include "reload/files.h"
#include "reports/connections.h"
#include "reports/groups.h"
#include "reports/reports.h"
#include "reports/routes_report.h"
#include "reports/workers.h"

#include <string.h>

static struct value *tell_files(const struct runtime *runtime) {
  struct value *list = value_table();
  if (runtime->instance)
    instance_list_files(runtime->instance, list);
  return list;
}

static struct value *tell_config(const struct runtime *runtime) {
  return runtime->instance ? config_report(runtime->instance) : ask_refusal(503, "moongate is starting or stopping");
}

static struct value *tell_admission(const struct runtime *runtime) {
  const struct instance *instance = runtime->instance ? runtime->instance : runtime->starting;
  const struct config *config = instance ? &instance->config : NULL;
  struct value *root = value_table();
  if (config) {
    value_set_string(root, "token", config->admin.token);
    value_set_string(root, "hosts", config->admin.hosts);
    value_set_boolean(root, "write", config->admin.write);
    value_set_boolean(root, "public_metrics", config->admin.public_metrics);
  }
  return root;
}

static void ask_snapshot(struct instance *instance, const struct value *arguments, struct native_call *call) {
  (void)arguments;
  instance_snapshot(instance, call);
}

static void ask_totals(struct instance *instance, const struct value *arguments, struct native_call *call) {
  (void)arguments;
  instance_totals(instance, call);
}

/* What is told at once, whatever runs, and of what; and what only a running instance is asked. */
static const struct {
  const char *name;
  struct value *(*tell)(const struct runtime *runtime);
  struct value *(*tell_of)(struct runtime *runtime, const struct value *arguments);
  void (*ask)(struct instance *instance, const struct value *arguments, struct native_call *call);
} questions[] = {
    {"status", .tell = status_report},
    {"readiness", .tell = readiness_report},
    {"files", .tell = tell_files},              /* { { file =, path =, ok =, state =, faults =, … }, … } */
    {"config", .tell = tell_config},            /* { limits = { connections =, … }, … }, without secrets */
    {"admission", .tell = tell_admission},      /* who may ask the admin interface. Never to be printed */
    {"metrics", .tell = script_metrics_report}, /* what scripts have made */
    {"explain", .tell_of = explain_choice},     /* what becomes of a connection */
    {"snapshot", .ask = ask_snapshot},          /* the sums of all workers */
    {"totals", .ask = ask_totals},              /* … without the routes one by one */
    {"connections", .ask = connections_ask},
    {"kill", .ask = connections_ask_kill},
    {"routes", .ask = routes_ask},
    {"addresses", .ask = addresses_ask},
    {"clients", .ask = clients_ask},
    {"groups", .ask = groups_ask},
    {"workers", .ask = workers_ask},
};

void questions_ask(void *context, const char *question, const struct value *arguments, struct native_call *call) {
  struct runtime *runtime = context;
  for (size_t i = 0; i < sizeof questions / sizeof questions[0]; i++) {
    if (strcmp(questions[i].name, question) != 0)
      continue;
    if (questions[i].tell)
      native_call_answer(call, questions[i].tell(runtime));
    else if (questions[i].tell_of)
      native_call_answer(call, questions[i].tell_of(runtime, arguments));
    else if (runtime->instance)
      questions[i].ask(runtime->instance, arguments, call);
    else
      ask_refuse(call, 503, "moongate is starting or stopping");
    return;
  }
  ask_refuse(call, 404, "there is no such question");
}
