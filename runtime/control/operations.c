/* SPDX-License-Identifier: MIT
 *
 * The functions of "moongate.native" that do something, as far as they don't belong to the instance. */
#include "control/operations.h"

#include "control/check.h"
#include "control/drain.h"
#include "control/life.h"
#include "control/questions.h"
#include "instance/runtime.h"
#include "loading/load.h"
#include "reload/files.h"
#include "reload/reload.h"
#include "reports/diagnose.h"
#include "reports/reports.h"

#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

static const char *why_not(const struct runtime *runtime) {
  return runtime->starting && runtime->starting->phase == INSTANCE_STARTING ? "moongate is starting"
                                                                            : "moongate is stopping";
}

static void operation_run(void *context, const struct native_settings *settings, struct native_call *call) {
  instance_run(context, settings, call);
}

static struct value *defaults(void *context) {
  (void)context;
  struct value *root = value_table();
  value_set_string(root, "version", MOONGATE_VERSION);
  value_set_boolean(root, "root", geteuid() == 0);
  value_set_boolean(root, "terminal", isatty(STDIN_FILENO) && isatty(STDERR_FILENO));
  struct winsize size = {.ws_col = 0};
  if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0)
    value_set_number(root, "columns", size.ws_col);
  if (isatty(STDOUT_FILENO) && size.ws_row > 0)
    value_set_number(root, "rows", size.ws_row);
  return root;
}

static void reload(void *context, struct native_call *call) {
  struct runtime *runtime = context;
  if (runtime->instance)
    instance_reload(runtime->instance, true, call);
  else
    native_call_answer(call, reload_refusal(&(struct reload_waiter){.call = call}, why_not(runtime)));
}

static struct value *refuse_file(const struct runtime *runtime) {
  return reload_refusal(&(struct reload_waiter){.file_status = 409}, why_not(runtime));
}

static void put_file(void *context, const char *name, const char *text, size_t size, struct native_call *call) {
  struct runtime *runtime = context;
  if (runtime->instance)
    instance_put_file(runtime->instance, name, text, size, call);
  else
    native_call_answer(call, refuse_file(runtime));
}

static void delete_file(void *context, const char *name, struct native_call *call) {
  struct runtime *runtime = context;
  if (runtime->instance)
    instance_delete_file(runtime->instance, name, call);
  else
    native_call_answer(call, refuse_file(runtime));
}

static void operation_refuse(const struct runtime *runtime, struct native_call *call) {
  ask_refuse(call, 503, why_not(runtime));
}

static void drain(void *context, int64_t ms, struct native_call *call) {
  struct runtime *runtime = context;
  if (runtime->instance)
    instance_drain_for(runtime->instance, ms, call);
  else
    operation_refuse(runtime, call);
}

static void keep_diagnosis(void *context, const char *trigger, const char *text, size_t size,
                           struct native_call *call) {
  struct runtime *runtime = context;
  if (runtime->instance)
    diagnose_keep(runtime->instance, trigger, text, size, call);
  else
    operation_refuse(runtime, call);
}

const struct native_ops operations = {
    .check = check_files,
    .run = operation_run,
    .ask = questions_ask,
    .defaults = defaults,
    .reload = reload,
    .put_file = put_file,
    .delete_file = delete_file,
    .drain = drain,
    .keep_diagnosis = keep_diagnosis,
};
