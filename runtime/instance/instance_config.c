/* SPDX-License-Identifier: MIT
 *
 * What an instance reads before it touches the network: the config, its lock, the route files. */
#include "instance/instance.h"
#include "instance/parts.h"
#include "instance/runtime.h"
#include "script/version.h"
#include "threads/loading_apart.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { FAULT_TEXT_SIZE = 2048 };

int instance_complain(const char *subject, const struct error *error) {
  error_complain("%s%s%s%s%s", subject ? subject : "", subject ? ": " : "", error->place, error->place[0] ? ": " : "",
                 error->message);
  return -1;
}

static void print_faults(const struct fault_list *faults) {
  char text[FAULT_TEXT_SIZE];
  for (size_t i = 0; i < faults->count; i++) {
    fault_format(&faults->faults[i], text, sizeof text);
    error_complain("%s", text);
  }
}

void instance_log_faults(const struct log *log, enum log_level level, const char *message,
                         const struct fault_list *faults) {
  for (size_t i = 0; i < faults->count && log_enabled(log, level); i++) {
    const struct fault *fault = &faults->faults[i];
    struct log_field fields[5];
    size_t count = 0;
    fields[count++] = LOG_STRING("file", fault->file[0] ? fault->file : NULL);
    if (fault->line > 0)
      fields[count++] = LOG_INTEGER("line", fault->line);
    fields[count++] = LOG_STRING("route", fault->route[0] ? fault->route : NULL);
    fields[count++] = LOG_STRING("field", fault->field[0] ? fault->field : NULL);
    fields[count++] = LOG_STRING("error", fault->message);
    log_write(log, level, message, fields, count);
  }
}

static const char *outcome_of(const struct loaded_routes *loaded, const struct fault *fault) {
  const char *slash = strrchr(fault->file, '/');
  size_t i = loaded_routes_find(loaded, slash ? slash + 1 : fault->file);
  if (i == loaded->file_count || strcmp(loaded->files[i].path, fault->file) != 0)
    return "a fault in the routes: what was live stays";
  if (loaded->files[i].waits)
    return loaded->files[i].stands_in != FILE_NOTHING
               ? "a fault in the routes: the file waits, and its last good version is served meanwhile"
               : "a fault in the routes: the file waits, and goes live by itself when it can";
  return loaded->files[i].ok || loaded->files[i].stands_in != FILE_NOTHING
             ? "a fault in the routes: the file keeps its last good version"
             : "a fault in the routes: the file has no good version, and is left out";
}

void instance_log_route_fault(const struct log *log, const struct loaded_routes *loaded, const struct fault *fault) {
  struct fault copy = *fault;
  const struct fault_list one = {.faults = &copy, .count = 1};
  instance_log_faults(log, LOG_ERROR, outcome_of(loaded, fault), &one);
}

static int read_instance_config(struct instance *instance, const struct native_settings *settings) {
  struct runtime *runtime = instance->runtime;
  struct error error;
  instance->loader = loader_new(&runtime->log, runtime->library, &error);
  if (!instance->loader ||
      loading_start(&instance->loading, &runtime->loop, &runtime->log, instance->loader, &error) != 0)
    return instance_complain(NULL, &error);
  script_shared_set_printers(loader_shared(instance->loader), runtime->printers);
  struct config_overrides overrides = {settings->config, settings->routes, settings->workers};
  struct fault_list faults = {.count = 0};
  int status = loading_read_config(&instance->loading, &overrides, false, &instance->config, &faults);
  print_faults(&faults);
  if (status != 0 && faults.count == 0)
    error_complain("the config can't be read: %s", strerror(-status));
  fault_list_clear(&faults);
  if (status != 0)
    return -1;
  instance->loading.bound_ms = instance->config.limits.load_time_ms;
  runtime->log.level = instance->config.log.level;
  runtime->log.format = instance->config.log.format;
  instance_log_faults(&runtime->log, LOG_WARN, "the config: take note", &instance->config.warnings);
  instance->workers_wanted = settings->workers;
  if ((settings->config && !(instance->config_path = strdup(settings->config))) ||
      (settings->routes && !(instance->routes_path = strdup(settings->routes)))) {
    error_set(&error, ENOMEM, "no memory to start");
    return instance_complain(NULL, &error);
  }
  const char *control = settings->control ? settings->control : instance->config.control;
  if (control && !(instance->control_path = strdup(control))) {
    error_set(&error, ENOMEM, "no memory to start");
    return instance_complain(NULL, &error);
  }
  return 0;
}

/* What root has to do is done: nothing of what follows, no route file above all, runs with its rights. */
static int become_account(struct instance *instance) {
  struct error error;
  loading_rest(&instance->loading); /* capabilities are each thread's own */
  if (privileges_drop(&instance->account, instance->config.has_nftables, &error) != 0)
    return instance_complain("user", &error);
  instance->loading.account = &instance->account;
  privileges_confine(&instance->runtime->log);
  return 0;
}

static int find_account(struct instance *instance) {
  struct error error;
  int status = account_find(&instance->account, instance->config.user, instance->config.group, &error);
  return status == 0 ? 0 : instance_complain("user", &error);
}

/* A directory that can't be written now may be later; one that others may write, or another moongate has, is a mistake.
 */
static bool can_do_without_state(int status) {
  switch (-status) {
  case EACCES:
  case EROFS:
  case ENOENT:
  case ENOSPC:
  case EDQUOT:
  case EIO:
  case ESTALE:
    return true;
  default:
    return false;
  }
}

/* 0, with or without it, or -1, having said why. */
static int take_lock(struct instance *instance) {
  struct error error;
  if (!instance->config.state) {
    error_set(&error, EINVAL,
              "there is no place for the state directory, since neither XDG_STATE_HOME nor HOME is set; "
              "name one as `state` in the config");
    return instance_complain(NULL, &error);
  }
  int status = instance_lock_take(&instance->lock, instance->config.state, &instance->account, &error);
  if (status == 0)
    return 0;
  if (instance->strict || !can_do_without_state(status))
    return instance_complain(NULL, &error);
  part_fail(instance, PART_STATE, &error);
  return 0;
}

void instance_number_of(void *context, const char *name, unsigned *number, struct route_shared **shared) {
  *number = names_number(context, name, shared);
}

struct route_table *instance_make_table(const struct route_table *before, struct pace *pace,
                                        const struct loaded_routes *loaded, struct policy *policy,
                                        struct error *error) {
  size_t route_count = 0, script_count = 0;
  for (size_t i = 0; i < loaded->file_count; i++)
    route_count += loaded->files[i].route_count;
  struct route **routes = calloc(route_count + 1, sizeof *routes);
  struct script_version **scripts = calloc(loaded->file_count + 1, sizeof *scripts);
  struct route_table *table = NULL;
  route_count = 0;
  if (!routes || !scripts) {
    error_set(error, ENOMEM, "no memory for the route table");
    goto done;
  }
  for (size_t i = 0; i < loaded->file_count; i++) {
    const struct loaded_file *file = &loaded->files[i];
    for (size_t r = 0; r < file->route_count; r++)
      routes[route_count++] = file->routes[r];
    if (file->version)
      scripts[script_count++] = script_version_ref(file->version);
  }
  table = route_table_renew(before, pace, routes, route_count, scripts, script_count, script_version_unref, error);
  if (table)
    table->policy = policy_ref(policy);
  for (size_t i = 0; !table && i < script_count; i++)
    script_version_unref(scripts[i]);
done:
  free(routes);
  free(scripts);
  return table;
}

/* 0, or -1 when faults are not to be lived with. Without instance->strict a faulty file keeps its last good version, or
 * is left out, for its user to mend. */
static int judge_faults(const struct instance *instance, int status) {
  const struct fault_list *faults = &instance->loaded.faults;
  struct error error;
  if (status == 0)
    return 0;
  if (faults->count == 0) {
    error_set(&error, -status, "the routes can't be loaded: %s", strerror(-status));
    return instance_complain(NULL, &error);
  }
  if (!instance->loaded.listed) { /* no directory of that name: a mistake rather than what was meant */
    print_faults(faults);
    return -1;
  }
  if (!instance->strict)
    return 0;
  print_faults(faults);
  error_set(&error, EINVAL, "--strict: mend what is named above, or start without it");
  return instance_complain(NULL, &error);
}

int instance_take_routes(struct instance *instance, int status) {
  struct error error;
  if (judge_faults(instance, status) != 0)
    return -1;
  loaded_routes_number(&instance->loaded, instance_number_of, &instance->names);
  instance->table = instance_make_table(NULL, NULL, &instance->loaded, instance->config.policy, &error);
  if (!instance->table)
    return instance_complain(NULL, &error);
  instance->table->generation = 1;
  instance->resolved = calloc(instance->table->port_count + 1, sizeof *instance->resolved);
  if (instance->resolved)
    return 0;
  error_set(&error, ENOMEM, "no memory for the route table");
  return instance_complain(NULL, &error);
}

void instance_drop_routes(struct instance *instance) {
  route_table_unref(instance->table);
  instance->table = NULL;
  free(instance->resolved);
  instance->resolved = NULL;
  loaded_routes_clear(&instance->loaded);
}

/* Is there no file that can be served, of those that there are? */
static bool nothing_works(const struct loaded_routes *loaded) {
  for (size_t i = 0; i < loaded->file_count; i++)
    if (loaded->files[i].ok || loaded->files[i].stands_in != FILE_NOTHING)
      return false;
  return loaded->file_count > 0;
}

static bool any_waits(const struct loaded_routes *loaded) {
  for (size_t i = 0; i < loaded->file_count; i++)
    if (loaded->files[i].waits)
      return true;
  return false;
}

int instance_tell_faults(const struct instance *instance) {
  const struct log *log = &instance->runtime->log;
  const struct loaded_routes *loaded = &instance->loaded;
  struct error error;
  instance_log_faults(log, LOG_WARN, "the routes: take note", &loaded->warnings);
  if (nothing_works(loaded)) {
    print_faults(&loaded->faults);
    error_set(&error, EINVAL, "no route file can be served%s: mend one of them, or start without any",
              any_waits(loaded) ? ", so the start ends and waits for nothing" : "");
    error_set_place(&error, "%s", instance->config.routes);
    return instance_complain(NULL, &error);
  }
  for (size_t i = 0; i < loaded->faults.count; i++)
    instance_log_route_fault(log, loaded, &loaded->faults.faults[i]);
  if (instance->table->route_count == 0)
    LOG(log, LOG_WARN, "there is no route, so nothing is served", LOG_STRING("directory", instance->config.routes));
  return 0;
}

/* What was read with root's rights is read again as a reload will: the start has nothing that a reload would not. What
 * is made already stays. */
static int read_config_again(struct instance *instance, const struct native_settings *settings) {
  const struct log *log = &instance->runtime->log;
  struct config_overrides overrides = {settings->config, settings->routes, settings->workers};
  struct config config;
  struct fault_list faults = {.count = 0};
  struct error error;
  if (!instance->account.is_set || !instance->config.path)
    return 0;
  int status = loading_read_config(&instance->loading, &overrides, false, &config, &faults);
  print_faults(&faults);
  fault_list_clear(&faults);
  if (status != 0) {
    account_explain_unread(&instance->account, &error);
    error_set_place(&error, "%s", instance->config.path);
    return instance_complain("user", &error);
  }
  struct value *notes = reconfigure_prepare(&instance->config, &config);
  for (const struct value *note = notes ? notes->first : NULL; note; note = note->next)
    LOG(log, LOG_WARN, "the config says something else to its user, as whom a reload reads it",
        LOG_STRING("setting", note->string));
  struct config before = instance->config;
  instance->config = config;
  config_clear(&before);
  instance->runtime->log.level = instance->config.log.level;
  instance->runtime->log.format = instance->config.log.format;
  if (notes) {
    value_free(notes);
    return 0;
  }
  error_set(&error, ENOMEM, "no memory to start");
  return instance_complain(NULL, &error);
}

int instance_load_config(struct instance *instance, const struct native_settings *settings) {
  struct error error;
  if (read_instance_config(instance, settings) != 0 || find_account(instance) != 0 || take_lock(instance) != 0 ||
      instance_open_control(instance) != 0 || become_account(instance) != 0 ||
      read_config_again(instance, settings) != 0)
    return -1;
  if (instance->lock.fd < 0 || loader_keep_mark(instance->loader, instance->config.state, &error) == 0)
    return 0;
  if (!loader_has_mark(instance->loader) && !instance->strict)
    part_fail(instance, PART_STATE, &error);
  else
    LOG(&instance->runtime->log, LOG_WARN, "a file that ends the process would be run again by the next one",
        LOG_STRING("at", error.place[0] ? error.place : NULL), LOG_STRING("error", error.message));
  return 0;
}
