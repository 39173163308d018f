/* SPDX-License-Identifier: MIT
 *
 * The questions "status" and "readiness". */
#include "control/questions.h"
#include "instance/heartbeat.h"
#include "instance/instance.h"
#include "instance/parts.h"
#include "instance/runtime.h"
#include "reload/files.h"
#include "reload/reload.h"
#include "reports/dns_report.h"
#include "reports/failures_report.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

/* Memory in bytes; 0 when not known. */
static void read_memory(double *virtual, double *resident) {
  unsigned long pages = 0, resident_pages = 0;
  FILE *file = fopen("/proc/self/statm", "re");
  if (file && fscanf(file, "%lu %lu", &pages, &resident_pages) != 2)
    pages = resident_pages = 0;
  if (file)
    fclose(file);
  *virtual = (double)pages * (double)sysconf(_SC_PAGESIZE);
  *resident = (double)resident_pages * (double)sysconf(_SC_PAGESIZE);
}

/* Of all threads, user and system; those that have ended too. */
static double cpu_seconds(void) {
  struct timespec time;
  if (clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time) != 0)
    return 0;
  return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

/* Newer kernels tell it as the size of the directory; with a hundred thousand of them, going through it takes long. */
static double open_descriptors(void) {
  struct stat status;
  if (stat("/proc/self/fd", &status) == 0 && status.st_size > 0)
    return (double)status.st_size;
  DIR *directory = opendir("/proc/self/fd");
  if (!directory)
    return 0;
  double count = -1; /* its own */
  for (const struct dirent *entry; (entry = readdir(directory));)
    count += entry->d_name[0] != '.';
  closedir(directory);
  return count;
}

static void write_process(struct value *root) {
  struct rlimit limit = {.rlim_cur = 0};
  getrlimit(RLIMIT_NOFILE, &limit);
  value_set_string(root, "version", MOONGATE_VERSION);
  value_set_number(root, "pid", getpid());
  double virtual, resident;
  read_memory(&virtual, &resident);
  value_set_number(root, "rss", resident);
  value_set_number(root, "virtual", virtual);
  value_set_number(root, "cpu_seconds", cpu_seconds());
  struct value *descriptors = value_set_table(root, "descriptors");
  value_set_number(descriptors, "used", open_descriptors());
  value_set_number(descriptors, "limit", (double)limit.rlim_cur);
}

/* The ports that are listened on, each once, in their order. */
static void status_write_ports(struct value *root, const struct instance *instance) {
  struct value *list = value_set_table(root, "ports");
  for (size_t i = 0; i < instance->table->port_count; i++)
    if (i == 0 || instance->resolved[i] != instance->resolved[i - 1])
      value_set_number(list, NULL, instance->resolved[i]);
}

static void write_reload(struct value *root, struct instance *instance) {
  const struct reload *reload = instance->reload;
  struct value *entry = value_set_table(root, "reload");
  if (reload->instance)
    reload_forget_finished(instance->reload);
  value_set_string(entry, "phase", reload_phase_name(reload->phase));
  unsigned worker = reload->phase == RELOAD_SWAPPING ? swap_awaited_worker(&reload->swap) : 0;
  if (worker > 0)
    value_set_number(entry, "worker", worker);
  value_set_string(entry, "engine", reload->phase == RELOAD_SWAPPING ? swap_awaited_engine(&reload->swap) : NULL);
  value_set_number(entry, "phase_ms", reload->instance ? (double)reload_phase_ms(reload) : 0);
  struct blocking_view view;
  uint64_t away_ms;
  if (reload->instance && loading_is_away(&instance->loading, &view, &away_ms) && away_ms > 0)
    value_set_string(entry, "file", view.subject);
  value_set_number(entry, "lost_loaders", (double)loading_count_lost(&instance->loading));
  char lost[LOADING_LOST_MOST + 1][BLOCKING_SUBJECT_SIZE];
  struct value *files = value_set_table(entry, "lost_files");
  for (size_t i = 0, count = loading_list_lost(&instance->loading, lost); i < count; i++)
    value_set_string(files, NULL, lost[i]);
  value_set_number(entry, "rounds", (double)reload->totals.rounds);
  value_set_number(entry, "swaps", (double)reload->totals.swaps);
  value_set_number(entry, "faults",
                   (double)(instance->loaded.faults.count + (instance->plane ? instance->plane->faults.count : 0)));
  value_set_number(entry, "last_ms", reload->totals.last_seconds * 1000);
  value_set_number(entry, "total_ms", reload->totals.seconds * 1000);
  value_set_number(entry, "old_versions", (double)instance->old.count);
  value_set_number(entry, "old_connections", (double)reload->swap.old_connections);
}

/* What of the config, as it was read last, is not live. */
static void write_standing(struct value *root, const struct instance *instance) {
  const struct config_standing *standing = &instance->reload->standing;
  report_faults(value_set_table(root, "config_faults"), &standing->faults, NULL);
  struct value *waiting = value_set_table(root, "restart_needed");
  for (size_t i = 0; i < standing->waiting_count; i++)
    value_set_string(waiting, NULL, standing->waiting[i]);
}

/* How long those that are left still have. */
static void write_drain(struct value *root, const struct instance *instance) {
  if (instance->phase != INSTANCE_DRAINING)
    return;
  clock_ms now = clock_now(&instance->runtime->clock), end = instance->drain_until;
  value_set_number(value_set_table(root, "drain"), "seconds", end > now ? (double)(end - now) / 1000 : 0);
}

/* Which file the start waits for. */
static void write_starting(struct value *root, const struct instance *instance) {
  struct blocking_view view;
  uint64_t away_ms;
  bool is_starting = instance->phase == INSTANCE_STARTING;
  value_set_boolean(root, "starting", is_starting);
  if (!is_starting || !loading_is_away(&instance->loading, &view, &away_ms))
    return;
  struct value *loading = value_set_table(root, "loading");
  value_set_string(loading, "file", view.subject);
  value_set_number(loading, "seconds", (double)away_ms / 1000);
}

/* What is no single file's: those of its routes are told with their files. */
static void write_engine(struct value *root, const struct instance *instance) {
  if (!instance->plane)
    return;
  struct value *entry = value_set_table(root, "engine");
  value_set_string(entry, "name", route_engine_words[instance->plane->ops->engine]);
  value_set_string(entry, "awaited", plane_awaited(instance->plane));
  struct value *faults = value_set_table(entry, "faults");
  for (size_t i = 0; i < instance->plane->faults.count; i++)
    if (!instance->plane->faults.faults[i].route)
      report_fault(faults, "", 0, "", instance->plane->faults.faults[i].field,
                   instance->plane->faults.faults[i].message);
}

static void write_readiness(struct value *root, const struct instance *instance) {
  value_set_number(root, "workers", (double)instance->threads.count);
  write_starting(root, instance);
  value_set_boolean(root, "ready", instance->phase == INSTANCE_READY);
  value_set_boolean(root, "draining", instance->phase > INSTANCE_READY);
  heartbeats_write(instance->heartbeats, value_set_table(root, "stuck"));
}

static void write_instance(struct value *root, struct instance *instance) {
  char admin[ENDPOINT_TEXT_SIZE];
  const struct clock *clock = &instance->runtime->clock;
  bool open = instance->phase == INSTANCE_READY || instance->phase == INSTANCE_DRAINING;
  value_set_number(root, "started", instance->started);
  value_set_number(root, "uptime", (double)(clock_now(clock) - instance->started_ms) / 1000);
  write_readiness(root, instance);
  value_set_number(root, "generation", instance->table ? (double)instance->table->generation : 0);
  value_set_string(root, "user", instance->account.name[0] ? instance->account.name : NULL);
  value_set_boolean(root, "user_configured", instance->config.user != NULL);
  value_set_string(root, "config", instance->config.path);
  value_set_string(root, "routes_directory", instance->config.routes);
  value_set_string(root, "state", instance->config.state);
  value_set_string(root, "control", instance->control_path);
  if (instance->admin)
    value_set_string(root, "admin", endpoint_format(admin_endpoint(instance->admin), admin));
  write_drain(root, instance);
  if (open) {
    value_set_number(root, "route_count", (double)instance->table->route_count);
    status_write_ports(root, instance);
  }
  instance_list_files(instance, value_set_table(root, "files"));
  struct value *faults = value_set_table(root, "faults");
  parts_report(instance, faults);
  report_faults(faults, &instance->loaded.faults, instance->config.routes); /* the directory's own */
  write_standing(root, instance);
  write_reload(root, instance);
  write_engine(root, instance);
  dns_report(instance, value_set_table(root, "dns"));
  failures_report(instance, value_set_table(root, "failed_targets"));
}

struct value *status_of(struct instance *instance) {
  struct value *root = value_table();
  write_process(root);
  write_instance(root, instance);
  return root;
}

static struct instance *instance_of(const struct runtime *runtime) {
  return runtime->instance ? runtime->instance : runtime->starting;
}

struct value *status_report(const struct runtime *runtime) {
  if (instance_of(runtime))
    return status_of(instance_of(runtime));
  struct value *root = value_table();
  write_process(root);
  value_set_boolean(root, "ready", false);
  value_set_boolean(root, "draining", runtime->has_run);
  value_set_table(root, "files");
  return root;
}

struct value *readiness_report(const struct runtime *runtime) {
  struct value *root = value_table();
  if (instance_of(runtime)) {
    write_readiness(root, instance_of(runtime));
  } else {
    value_set_boolean(root, "ready", false);
    value_set_boolean(root, "draining", runtime->has_run);
  }
  return root;
}
