/* SPDX-License-Identifier: MIT
 *
 * The tasks of Lua that diagnose. Their records are the runtime's, for they may outlast the instance. */
#include "reports/diagnose.h"

#include "core/blocking.h"
#include "instance/instance.h"
#include "instance/runtime.h"

static void diagnose_complain(const struct runtime *runtime, const char *message) {
  LOG(&runtime->log, LOG_ERROR, "diagnosing has failed", LOG_STRING("error", message ? message : "it was cut short"));
}

static void on_watch_ended(struct native_task *task, int status, const char *message) {
  struct runtime *runtime = (struct runtime *)(void *)((char *)task - offsetof(struct runtime, watching));
  if (status != 0)
    diagnose_complain(runtime, message);
}

static void on_captured(struct native_task *task, int status, const char *message);

static void start_capture(struct runtime *runtime) {
  struct error error;
  runtime->diagnosing.on_ended = on_captured;
  runtime->is_diagnosing = true;
  runtime->to_diagnose = false;
  if (native_start_words(&runtime->host, &runtime->diagnosing, "moongate.diagnose", "capture", 0, NULL, &error) == 0)
    return;
  runtime->is_diagnosing = false;
  diagnose_complain(runtime, error.message);
}

static void on_captured(struct native_task *task, int status, const char *message) {
  struct runtime *runtime = (struct runtime *)(void *)((char *)task - offsetof(struct runtime, diagnosing));
  runtime->is_diagnosing = false;
  if (status != 0)
    diagnose_complain(runtime, message);
  if (runtime->to_diagnose)
    start_capture(runtime);
}

void diagnose_begin(struct diagnose *diagnose) {
  if (!diagnose->instance || diagnose->stopped)
    return;
  struct runtime *runtime = diagnose->instance->runtime;
  if (runtime->is_diagnosing)
    runtime->to_diagnose = true;
  else
    start_capture(runtime);
}

void diagnose_start(struct instance *instance) {
  struct runtime *runtime = instance->runtime;
  struct error error;
  instance->diagnose->instance = instance;
  list_init(&instance->diagnose->waiting);
  runtime->watching.on_ended = on_watch_ended;
  if (native_start_words(&runtime->host, &runtime->watching, "moongate.diagnose.watch", "run", 0, NULL, &error) != 0)
    diagnose_complain(runtime, error.message);
}

void diagnose_deinit(struct diagnose *diagnose) {
  diagnose_stop(diagnose);
  blocking_unref(diagnose->keep_lost);
  *diagnose = (struct diagnose){.instance = NULL};
}
