/* SPDX-License-Identifier: MIT
 *
 * native.status(): what is running, since when, on which ports, from which files. */
#include "control/files.h"
#include "control/instance.h"
#include "control/operations.h"
#include "control/reload_private.h"
#include "control/runtime.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

/* Resident memory in bytes; 0 when not known. */
static double resident_memory(void) {
  unsigned long total = 0, resident = 0;
  FILE *file = fopen("/proc/self/statm", "re");
  if (!file)
    return 0;
  if (fscanf(file, "%lu %lu", &total, &resident) != 2)
    resident = 0;
  fclose(file);
  return (double)resident * (double)sysconf(_SC_PAGESIZE);
}

static double open_descriptors(void) {
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
  value_set_number(root, "rss", resident_memory());
  struct value *descriptors = value_set_table(root, "descriptors");
  value_set_number(descriptors, "used", open_descriptors());
  value_set_number(descriptors, "limit", (double)limit.rlim_cur);
}

static void write_route(struct value *list, const struct instance *instance, const struct route *route) {
  const struct route_table *table = instance->table;
  char address[ADDRESS_TEXT_SIZE] = "*";
  struct value *entry = value_set_table(list, NULL);
  if (route->address.length) {
    struct ip_address ip;
    ip_address_from_sockaddr(&ip, (const struct sockaddr *)&route->address.storage);
    ip_address_format(&ip, address);
  }
  value_set_string(entry, "name", route->name);
  value_set_string(entry, "file", route->file);
  value_set_string(entry, "address", address);
  value_set_string(entry, "action", route->action == ROUTE_HANDLER ? "handler" : "forward");
  struct value *ports = value_set_table(entry, "ports");
  uint16_t last = 0;
  for (size_t i = 0; i < table->port_count; i++) {
    uint16_t port = instance->resolved[i];
    if (port == last || !table_port_has(&table->ports[i], route))
      continue;
    value_set_number(ports, NULL, port);
    last = port;
  }
}

static void write_reload(struct value *root, struct instance *instance) {
  const struct reload *reload = &instance->reload;
  struct value *entry = value_set_table(root, "reload");
  if (reload->instance)
    reload_forget_finished(&instance->reload);
  value_set_number(entry, "swaps", (double)reload->totals.swaps);
  value_set_number(entry, "faults", (double)instance->loaded.faults.count);
  value_set_number(entry, "last_ms", reload->totals.last_seconds * 1000);
  value_set_number(entry, "total_ms", reload->totals.seconds * 1000);
  value_set_number(entry, "old_versions", (double)reload->old_count);
  value_set_number(entry, "old_connections", (double)reload->swap.riders);
}

static void write_instance(struct value *root, struct instance *instance) {
  char admin[ENDPOINT_TEXT_SIZE];
  const struct clock *clock = &instance->runtime->clock;
  bool open = instance->phase == INSTANCE_READY || instance->phase == INSTANCE_DRAINING;
  value_set_number(root, "started", instance->started);
  value_set_number(root, "uptime", (double)(clock_now(clock) - instance->started_ms) / 1000);
  value_set_number(root, "workers", (double)instance->threads.count);
  value_set_number(root, "generation", instance->table ? (double)instance->table->generation : 0);
  value_set_boolean(root, "ready", instance->phase == INSTANCE_READY);
  value_set_boolean(root, "draining", instance->phase > INSTANCE_READY);
  value_set_string(root, "config", instance->config.path);
  value_set_string(root, "routes_directory", instance->config.routes);
  value_set_string(root, "state", instance->config.state);
  value_set_string(root, "control", instance->control_path);
  if (instance->admin)
    value_set_string(root, "admin", endpoint_format(admin_endpoint(instance->admin), admin));
  struct value *routes = value_set_table(root, "routes");
  for (size_t i = 0; open && i < instance->table->route_count; i++)
    write_route(routes, instance, instance->table->routes[i]);
  instance_list_files(instance, value_set_table(root, "files"));
  write_reload(root, instance);
}

struct value *status_report(const struct runtime *runtime) {
  struct value *root = value_table();
  write_process(root);
  if (runtime->instance) {
    write_instance(root, runtime->instance);
    return root;
  }
  value_set_boolean(root, "ready", false);
  value_set_boolean(root, "draining", runtime->has_run);
  value_set_table(root, "routes");
  value_set_table(root, "files");
  return root;
}
