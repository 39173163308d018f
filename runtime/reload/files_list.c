/* SPDX-License-Identifier: MIT
 *
 * What became of each route file, for the API and the status. */
#include "reload/files.h"

#include "instance/instance.h"

#include <stdio.h>
#include <string.h>

/* What its engine has against what is live of the file. How many. */
static size_t report_engine_faults(struct value *list, const struct instance *instance,
                                   const struct loaded_file *file) {
  size_t count = 0;
  for (size_t i = 0; instance->plane && i < instance->plane->faults.count; i++) {
    const struct plane_fault *fault = &instance->plane->faults.faults[i];
    if (!fault->route || strcmp(fault->route->file, file->file) != 0)
      continue;
    report_fault(list, file->path, fault->route->line, fault->route->name, fault->field, fault->message);
    count++;
  }
  return count;
}

static const char *state_of(const struct loaded_file *file) {
  if (file->ok || file->stands_in == FILE_LIVE)
    return "live";
  return file->stands_in == FILE_LAST_GOOD ? "last_good" : "absent";
}

static void report_of_file(struct value *list, const struct fault_index *index, const char *path) {
  size_t count;
  const struct fault *const *faults = fault_index_of_file(index, path, &count);
  for (size_t i = 0; i < count; i++)
    report_fault(list, faults[i]->file, faults[i]->line, faults[i]->route, faults[i]->field, faults[i]->message);
}

void instance_list_files(const struct instance *instance, struct value *list) {
  const struct loaded_routes *loaded = &instance->loaded;
  struct fault_index *faults = fault_index_by_file(&loaded->faults);
  if (!faults)
    list->failed = true;
  for (size_t i = 0; i < loaded->file_count && !list->failed; i++) {
    const struct loaded_file *file = &loaded->files[i];
    struct value *entry = value_set_table(list, NULL);
    char hash[24];
    snprintf(hash, sizeof hash, "%016llx", (unsigned long long)file->hash);
    value_set_string(entry, "file", file->file);
    value_set_string(entry, "path", file->path);
    struct value *told = value_set_table(entry, "faults");
    report_of_file(told, faults, file->path);
    bool is_impaired = report_engine_faults(told, instance, file) > 0;
    value_set_boolean(entry, "ok", file->ok && !is_impaired);
    value_set_boolean(entry, "waits", file->waits);
    value_set_boolean(entry, "vanished", file->vanished);
    value_set_string(entry, "state", is_impaired && file->ok ? "impaired" : state_of(file));
    value_set_number(entry, "routes", (double)file->route_count);
    value_set_number(entry, "functions", (double)file->function_count);
    value_set_number(entry, "version", file->version_number);
    value_set_string(entry, "hash", hash);
    value_set_number(entry, "size", (double)file->size);
    value_set_number(entry, "loaded_at", file->loaded_at);
    report_faults(value_set_table(entry, "warnings"), &file->warnings, NULL);
  }
  fault_index_free(faults);
}
