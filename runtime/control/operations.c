/* SPDX-License-Identifier: MIT
 *
 * The functions of "moongate.native", as far as they don't belong to the instance; `check` is whole here. */
#include "control/operations.h"

#include "control/addresses.h"
#include "control/drain.h"
#include "control/explain.h"
#include "control/files.h"
#include "control/instance_private.h"
#include "control/loading_apart.h"
#include "control/reload_private.h"
#include "control/runtime.h"
#include "script/load.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

void report_fault(struct value *list, const char *file, int line, const char *route, const char *field,
                  const char *message) {
  struct value *entry = value_set_table(list, NULL);
  value_set_string(entry, "file", file);
  value_set_number(entry, "line", line);
  value_set_string(entry, "route", route);
  value_set_string(entry, "field", field);
  value_set_string(entry, "message", message);
}

void report_faults(struct value *list, const struct fault_list *faults, const char *file) {
  for (size_t i = 0; i < faults->count; i++) {
    const struct fault *fault = &faults->faults[i];
    if (file && strcmp(fault->file, file) != 0)
      continue;
    report_fault(list, fault->file, fault->line, fault->route, fault->field, fault->message);
  }
}

static void report_admin_clash(struct value *found, struct loader *loader, const struct loaded_routes *loaded,
                               const struct table_port *clash) {
  const struct route *route = clash->routes[0];
  struct error error;
  instance_explain_admin_clash(clash, &error);
  for (size_t i = 0; i < loaded->file_count; i++) {
    const struct loaded_file *file = &loaded->files[i];
    if (strcmp(file->file, route->file) == 0)
      report_fault(found, file->path, loader_find_line(loader, file, route->name, "match.ports"), route->name,
                   "match.ports", error.message);
  }
}

/* Between files: what only shows when all routes make one table. */
static void check_table(struct value *found, struct loader *loader, const struct loaded_routes *loaded,
                        const struct config *config) {
  struct error error;
  struct route_table *table = instance_make_table(loaded, NULL, &error);
  if (!table) {
    report_fault(found, "", 0, "", "", error.message);
    return;
  }
  const struct table_port *clash = instance_find_admin_clash(table, config->admin_listen);
  if (clash)
    report_admin_clash(found, loader, loaded, clash);
  route_table_unref(table);
}

/* As `run` would load them, for two workers (a third can't differ in another way), and without what an earlier run
 * stored. `warnings` may be NULL. */
static void check_routes(struct value *root, struct value *found, struct value *warnings, struct loading *loading,
                         const struct config *config) {
  struct loaded_routes loaded = {.file_count = 0};
  struct config stateless = *config;
  stateless.state = NULL;
  loading->bound_ms = config->load_time_ms;
  loading_load_routes(loading, &stateless, config->workers > 1 ? 2 : 1, NULL, NULL, &loaded);
  if (loaded.faults.count == 0)
    check_table(found, loading->loader, &loaded, config);
  report_faults(found, &loaded.faults, NULL);
  report_faults(warnings, &config->warnings, NULL);
  report_faults(warnings, &loaded.warnings, NULL);
  size_t routes = 0;
  for (size_t i = 0; i < loaded.file_count; i++)
    routes += loaded.files[i].route_count;
  value_set_number(root, "files", (double)loaded.file_count);
  value_set_number(root, "routes", (double)routes);
  loaded_routes_clear(&loaded);
}

/* From here on it reads what `run` would read, as the user that `run` would become. */
static void check_account(struct value *found, struct value *warnings, const struct config *config) {
  struct account account;
  struct error error;
  int status = account_find(&account, config->user, config->group, &error);
  if (status == 0)
    status = privileges_drop(&account, false, &error);
  if (status != 0) {
    report_fault(status == -EPERM ? warnings : found, config->path, 0, "",
                 config->group && !config->user ? "group" : "user", error.message);
    return;
  }
  if (account.is_set && config->path && access(config->path, R_OK) != 0) {
    error_set(&error, errno, "can't be read by the user \"%s\", and a reload reads it again: %s", account.name,
              strerror(errno));
    report_fault(found, config->path, 0, "", "user", error.message);
  }
}

static struct value *check(void *context, const struct native_settings *settings) {
  struct runtime *runtime = context;
  struct config config = {.path = NULL};
  struct config_overrides overrides = {settings->config, settings->routes, settings->workers};
  struct fault_list faults = {.count = 0};
  struct error error;
  struct value *root = value_table(), *found = value_set_table(root, "faults");
  struct loading loading = {.control = NULL};
  struct value *warnings = value_set_table(root, "warnings");
  struct loader *loader = loader_new(&runtime->log, runtime->library, &error);
  if (!loader || loading_start(&loading, NULL, &runtime->log, loader, &error) != 0) {
    report_fault(found, "", 0, "", "", error.message);
  } else {
    int status = loading_read_config(&loading, &overrides, true, &config, &faults);
    report_faults(found, &faults, NULL);
    check_account(found, warnings, &config);
    /* What the config's fault may be the reason of is not said: that there is no such directory, warnings. */
    if (status == 0 || (config.routes && access(config.routes, R_OK) == 0))
      check_routes(root, found, status == 0 ? warnings : NULL, &loading, &config);
  }
  fault_list_clear(&faults);
  runtime->left_behind |= loading_deinit(&loading);
  config_clear(&config);
  loader_free(loader);
  return root;
}

static void run(void *context, const struct native_settings *settings, struct native_call *call) {
  instance_run(context, settings, call);
}

static void snapshot(void *context, struct native_call *call) {
  struct runtime *runtime = context;
  if (runtime->instance)
    instance_snapshot(runtime->instance, call);
  else
    native_call_answer(call, value_table());
}

static void totals(void *context, struct native_call *call) {
  struct runtime *runtime = context;
  if (runtime->instance)
    instance_totals(runtime->instance, call);
  else
    native_call_answer(call, value_table());
}

static struct value *status(void *context) { return status_report(context); }

static struct value *readiness(void *context) { return readiness_report(context); }

static struct value *defaults(void *context) {
  (void)context;
  struct value *root = value_table();
  value_set_string(root, "version", MOONGATE_VERSION);
  value_set_boolean(root, "root", geteuid() == 0);
  struct winsize size;
  if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 0)
    value_set_number(root, "columns", size.ws_col);
  return root;
}

static void reload(void *context, struct native_call *call) {
  struct runtime *runtime = context;
  if (runtime->instance)
    instance_reload(runtime->instance, true, call);
  else
    native_call_answer(call, reload_refusal(&(struct reload_waiter){.call = call}, "moongate is stopping"));
}

static struct value *files(void *context) {
  const struct runtime *runtime = context;
  struct value *list = value_table();
  if (runtime->instance)
    instance_list_files(runtime->instance, list);
  return list;
}

static struct value *is_stopping(void) {
  return reload_refusal(&(struct reload_waiter){.file_status = 409}, "moongate is stopping");
}

static void put_file(void *context, const char *name, const char *text, size_t size, struct native_call *call) {
  struct runtime *runtime = context;
  if (runtime->instance)
    instance_put_file(runtime->instance, name, text, size, call);
  else
    native_call_answer(call, is_stopping());
}

static void delete_file(void *context, const char *name, struct native_call *call) {
  struct runtime *runtime = context;
  if (runtime->instance)
    instance_delete_file(runtime->instance, name, call);
  else
    native_call_answer(call, is_stopping());
}

static void refuse(struct native_call *call) {
  struct value *root = value_table();
  value_set_number(root, "status", 503);
  value_set_string(root, "error", "moongate is stopping");
  native_call_answer(call, root);
}

static void routes(void *context, const struct native_routes *wanted, struct native_call *call) {
  struct runtime *runtime = context;
  if (runtime->instance)
    instance_ask_routes(runtime->instance, wanted, call);
  else
    refuse(call);
}

static void connections(void *context, const struct native_connections *wanted, struct native_call *call) {
  struct runtime *runtime = context;
  if (runtime->instance)
    connections_ask(&runtime->instance->connections, wanted, call);
  else
    refuse(call);
}

static struct value *metrics(void *context) { return commons_report(context); }

static void drain(void *context, int64_t ms, struct native_call *call) {
  struct runtime *runtime = context;
  if (runtime->instance)
    instance_drain_for(runtime->instance, ms, call);
  else
    refuse(call);
}

static void diagnose(void *context, struct native_call *call) {
  struct runtime *runtime = context;
  if (runtime->instance)
    diagnose_ask(runtime->instance, call);
  else
    refuse(call);
}

static struct value *keep_diagnosis(void *context, const char *trigger, const char *text, size_t size) {
  struct runtime *runtime = context;
  if (runtime->instance)
    return diagnose_keep(runtime->instance, trigger, text, size);
  struct value *root = value_table();
  value_set_string(root, "error", "moongate is stopping");
  return root;
}

static struct value *admission(void *context) {
  const struct runtime *runtime = context;
  const struct config *config = runtime->instance ? &runtime->instance->config : NULL;
  struct value *root = value_table();
  if (config) {
    value_set_string(root, "token", config->admin_token);
    value_set_string(root, "hosts", config->admin_hosts);
    value_set_boolean(root, "write", config->admin_write);
    value_set_boolean(root, "public_metrics", config->admin_public_metrics);
  }
  return root;
}

const struct native_ops operations = {
    .check = check,
    .run = run,
    .snapshot = snapshot,
    .totals = totals,
    .status = status,
    .readiness = readiness,
    .defaults = defaults,
    .reload = reload,
    .files = files,
    .put_file = put_file,
    .delete_file = delete_file,
    .routes = routes,
    .connections = connections,
    .addresses = addresses_report,
    .explain = explain_choice,
    .drain = drain,
    .diagnose = diagnose,
    .keep_diagnosis = keep_diagnosis,
    .admission = admission,
    .metrics = metrics,
};
