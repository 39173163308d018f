/* SPDX-License-Identifier: MIT
 *
 * `moongate check`: loads as `run` would, for whoever asks, in a process that may be ended by what it loads. */
#include "control/check.h"

#include "control/life.h"
#include "instance/runtime.h"
#include "loading/load.h"
#include "loading/load_mark.h"
#include "process/privileges.h"
#include "threads/loading_apart.h"

#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

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
  struct route_table *table = instance_make_table(NULL, NULL, loaded, NULL, &error);
  if (!table) {
    report_fault(found, "", 0, "", "", error.message);
    return;
  }
  const struct table_port *clash = instance_find_admin_clash(table, config->admin.listen);
  if (clash)
    report_admin_clash(found, loader, loaded, clash);
  route_table_unref(table);
}

/* A file in the directory of the routes is checked beside the others, of which nothing is told; one elsewhere alone, as
 * if it were the only one there. */
struct checked_file {
  char *directory, *name; /* NULL: all are */
};

static bool is_same_file(const char *a, const char *b) {
  struct stat one, other;
  return stat(a, &one) == 0 && stat(b, &other) == 0 && one.st_dev == other.st_dev && one.st_ino == other.st_ino;
}

/* 0 or -ENOMEM. */
static int choose_file(struct checked_file *file, const char *path, struct config *config) {
  const char *slash = strrchr(path, '/');
  file->directory = slash == path ? strdup("/") : slash ? strndup(path, (size_t)(slash - path)) : strdup(".");
  file->name = strdup(slash ? slash + 1 : path);
  if (!file->directory || !file->name)
    return -ENOMEM;
  if (config->routes && is_same_file(file->directory, config->routes))
    return 0;
  free(config->routes);
  config->routes = strdup(file->directory);
  config->only = file->name;
  return config->routes ? 0 : -ENOMEM;
}

static const char *why_no_route_file(const char *path) {
  struct stat about;
  if (stat(path, &about) != 0)
    return "is not there";
  return S_ISDIR(about.st_mode) ? "is a directory: to check all of its files, name it with --routes"
                                : "is no route file: the name of one ends in .lua, and does not begin with a dot";
}

/* Its faults and warnings alone. */
static void report_file(struct value *root, struct value *found, struct value *warnings, const char *name,
                        const struct loaded_routes *loaded, const struct config *config) {
  for (size_t i = 0; i < loaded->file_count; i++) {
    const struct loaded_file *file = &loaded->files[i];
    if (strcmp(file->file, name) != 0)
      continue;
    report_faults(found, &loaded->faults, file->path);
    report_faults(warnings, &loaded->warnings, file->path);
    value_set_number(root, "files", 1);
    value_set_number(root, "routes", (double)file->route_count);
    return;
  }
  char path[PATH_MAX];
  snprintf(path, sizeof path, "%s/%s", config->routes, name);
  report_fault(found, path, 0, NULL, NULL, why_no_route_file(path));
}

/* As `run` would load them, for two workers (a third can't differ in another way), and without what an earlier run
 * stored. `warnings` may be NULL. */
static void check_routes(struct value *root, struct value *found, struct value *warnings, struct loading *loading,
                         const struct config *config, const char *only) {
  struct loaded_routes loaded = {.file_count = 0};
  struct config stateless = *config;
  stateless.state = NULL;
  loading->bound_ms = config->limits.load_time_ms;
  loading_load_routes(loading, &stateless, config->workers > 1 ? 2 : 1, NULL, NULL, &loaded);
  if (only) {
    report_file(root, found, warnings, only, &loaded, config);
    loaded_routes_clear(&loaded);
    return;
  }
  if (loaded.listed)
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

/* A config that was not understood as a whole, or not in this, may name a user all the same. */
static bool is_user_unknown(const struct fault_list *faults) {
  for (size_t i = 0; i < faults->count; i++) {
    const char *field = faults->faults[i].field;
    if (!field || !*field || strcmp(field, "user") == 0 || strcmp(field, "group") == 0)
      return true;
  }
  return false;
}

/* From here on it reads what `run` would read, as the user that `run` would become. Whether route files may be run:
 * with root's rights only when that is what the config asks for. */
static bool check_account(struct value *found, struct value *warnings, const struct config *config,
                          const struct fault_list *faults, struct account *account) {
  struct error error;
  int status = account_find(account, config->user, config->group, &error);
  if (status == 0 && privileges_drop(account, false, &error) != 0) {
    report_fault(found, config->path, 0, "", "user", error.message);
    return false; /* it may be anybody */
  }
  if (status != 0)
    report_fault(status == -EPERM ? warnings : found, config->path, 0, "",
                 config->group && !config->user ? "group" : "user", error.message);
  else if (account->is_set && config->path && access(config->path, R_OK) != 0) {
    error_set(&error, errno, "can't be read by the user \"%s\", and a reload reads it again: %s", account->name,
              strerror(errno));
    report_fault(found, config->path, 0, "", "user", error.message);
  }
  if (geteuid() != 0 || (status == 0 && (account->is_set || !is_user_unknown(faults))))
    return true;
  report_fault(warnings, config->path, 0, "", "user",
               "the routes were not looked at: as whom they run is not known, and root's rights they do not get");
  return false;
}

/* Root has read it: does the user read the same, as a reload will? 0 with `config` read again, or a negative errno. */
static int check_config_again(struct value *found, struct loading *loading, const struct config_overrides *overrides,
                              struct config *config, const struct account *account) {
  struct config again;
  struct fault_list faults = {.count = 0};
  struct error error;
  if (!account->is_set || !config->path || access(config->path, R_OK) != 0) /* said already */
    return 0;
  int status = loading_read_config(loading, overrides, false, &again, &faults);
  if (status == 0) {
    config_clear(config);
    *config = again;
  } else {
    account_explain_unread(account, &error);
    report_faults(found, &faults, NULL);
    report_fault(found, config->path, 0, "", "user", error.message);
  }
  fault_list_clear(&faults);
  return status;
}

/* In the one process that is left to say so: what had been loaded last has ended the other one. */
static struct value *report_crash(int mark, int status) {
  char path[PATH_MAX], message[256];
  struct value *root = value_table(), *found = value_set_table(root, "faults");
  bool is_known = load_mark_read(mark, path, sizeof path);
  snprintf(message, sizeof message, "%s by a signal while it was loaded: %s",
           is_known ? "ends the process that runs it: it was ended" : "the check was ended",
           strsignal(WTERMSIG(status)));
  report_fault(found, is_known ? path : "", 0, "", "", message);
  value_set_table(root, "warnings");
  return root;
}

/* What is checked runs in a process of its own, since it may end it: the child goes on with the command, and this one
 * ends as it does. When the child does not end by itself: an answer. NULL: this is the child, or there is none. */
static struct value *check_apart(int mark) {
  int status;
  fflush(stdout);
  pid_t parent = getpid(), child = mark >= 0 ? fork() : -1;
  if (child < 0)
    return NULL;
  if (child == 0) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent)
      _exit(1);
    return NULL;
  }
  while (waitpid(child, &status, 0) < 0)
    if (errno != EINTR)
      _exit(1);
  if (WIFEXITED(status))
    _exit(WEXITSTATUS(status));
  return report_crash(mark, status);
}

struct value *check_files(void *context, const struct native_settings *settings) {
  struct runtime *runtime = context;
  int mark = memfd_create("moongate-check", MFD_CLOEXEC);
  struct value *crash = check_apart(mark);
  if (crash) {
    close(mark);
    return crash;
  }
  struct config config = {.path = NULL};
  struct config_overrides overrides = {settings->config, settings->routes, settings->workers};
  struct checked_file file = {.directory = NULL};
  struct fault_list faults = {.count = 0};
  struct error error;
  error_set(&error, ENOMEM, "no memory to check");
  struct value *root = value_table(), *found = value_set_table(root, "faults");
  struct account account = {.is_set = false};
  struct loading loading = {.control = NULL};
  struct value *warnings = value_set_table(root, "warnings");
  struct loader *loader = loader_new(&runtime->log, runtime->library, &error);
  if (!loader || loader_keep_mark_at(loader, mark) != 0 ||
      loading_start(&loading, NULL, &runtime->log, loader, &error) != 0) {
    report_fault(found, "", 0, "", "", error.message);
  } else {
    int status = loading_read_config(&loading, &overrides, true, &config, &faults);
    report_faults(found, &faults, NULL);
    loading_rest(&loading); /* capabilities are each thread's own */
    bool may_load = check_account(found, warnings, &config, &faults, &account);
    loading.account = &account;
    if (may_load && status == 0)
      status = check_config_again(found, &loading, &overrides, &config, &account);
    /* What the config's fault may be the reason of is not said: that there is no such directory, warnings. */
    if (settings->file && choose_file(&file, settings->file, &config) != 0)
      may_load = false;
    if (may_load && (status == 0 || (config.routes && access(config.routes, R_OK) == 0)))
      check_routes(root, found, status == 0 ? warnings : NULL, &loading, &config, file.name);
  }
  fault_list_clear(&faults);
  runtime->left_behind |= loading_deinit(&loading);
  config_clear(&config);
  free(file.directory);
  free(file.name);
  loader_free(loader);
  close(mark);
  return root;
}
