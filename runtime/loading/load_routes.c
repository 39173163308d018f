/* SPDX-License-Identifier: MIT
 *
 * Loading the directory of route files: which there are, and what becomes of all of them. What becomes of one is in
 * load_one.c. */
#include "core/text_file.h"
#include "loading/load_private.h"

#include "core/text.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { MAX_FILES = 16384 };

bool route_file_is_read(const char *name) {
  size_t length = strlen(name);
  return length > 4 && strcmp(name + length - 4, ".lua") == 0 && name[0] != '.' && name[0] != '#';
}

bool route_file_is_writable(const char *name) {
  static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.";
  size_t length = strlen(name);
  return route_file_is_read(name) && length <= ROUTE_FILE_NAME_LONGEST && strspn(name, letters) == length;
}

static int is_route_file(const struct dirent *entry) { return route_file_is_read(entry->d_name); }

static int compare_file_name(const struct dirent **a, const struct dirent **b) {
  return strcmp((*a)->d_name, (*b)->d_name);
}

char *path_join(const char *directory, const char *name) {
  char *path = NULL;
  size_t length = strlen(directory);
  while (length > 1 && directory[length - 1] == '/')
    length--;
  const char *slash = length > 0 && directory[length - 1] == '/' ? "" : "/";
  return asprintf(&path, "%.*s%s%s", (int)length, directory, slash, name) < 0 ? NULL : path;
}

static int add_directory_fault(struct loaded_routes *loaded, const char *directory, int code) {
  char message[TEXT_FILE_REFUSED_SIZE];
  if (code == EACCES)
    text_file_refused(true, message);
  else if (code == ENOENT)
    snprintf(message, sizeof message,
             "the directory of the route files does not exist: create it, or name another with --routes or `routes` in "
             "moongate.lua");
  else
    snprintf(message, sizeof message, "the directory of the route files can't be read: %s", strerror(code));
  return fault_list_add(&loaded->faults, directory, 0, NULL, NULL, message) < 0 ? -ENOMEM : -EINVAL;
}

static int keep_only(struct dirent **entries, int count, const char *name) {
  int kept = 0;
  for (int i = 0; i < count; i++) {
    if (strcmp(entries[i]->d_name, name) == 0)
      entries[kept++] = entries[i];
    else
      free(entries[i]);
  }
  return kept;
}

/* Fills loaded->files with the names. 0 or a negative errno. */
static int list_files(const char *directory, const char *only, struct loaded_routes *loaded) {
  struct dirent **entries = NULL;
  int count = scandir(directory, &entries, is_route_file, compare_file_name), status = 0;
  if (count < 0)
    return errno == ENOMEM ? -ENOMEM : add_directory_fault(loaded, directory, errno);
  if (only)
    count = keep_only(entries, count, only);
  if (count > MAX_FILES) {
    char message[96];
    snprintf(message, sizeof message, "has %d route files: at most %d", count, MAX_FILES);
    status = fault_list_add(&loaded->faults, directory, 0, NULL, NULL, message) < 0 ? -ENOMEM : -EINVAL;
  } else if (count > 0 && !(loaded->files = calloc((size_t)count, sizeof *loaded->files))) {
    status = -ENOMEM;
  }
  for (int i = 0; i < count; i++) {
    if (status == 0) {
      struct loaded_file *file = &loaded->files[loaded->file_count++];
      file->file = strdup(entries[i]->d_name);
      file->path = path_join(directory, entries[i]->d_name);
      status = file->file && file->path ? 0 : -ENOMEM;
    }
    free(entries[i]);
  }
  free(entries);
  return status;
}

/* The disk may not answer: the thread is away meanwhile. */
static int list_away(struct load_run *run) {
  struct loader *loader = run->loader;
  if (loader->list_lost && blocking_is_lost(loader->list_lost))
    return add_directory_fault(run->loaded, run->config->routes, ETIMEDOUT);
  char *directory = strdup(run->config->routes), *only = run->config->only ? strdup(run->config->only) : NULL;
  if (!directory || (run->config->only && !only)) {
    free(directory);
    free(only);
    return -ENOMEM;
  }
  load_now_begin(run, &(struct load_now){.kind = LOAD_LIST, .path = directory});
  blocking_begin(run->blocking);
  int status = list_files(directory, only, run->loaded);
  if (!blocking_end(run->blocking))
    status = -ECANCELED;
  else
    load_now_end(run);
  free(directory);
  free(only);
  return status;
}

/* A directory within that holds what looks like route files: somebody thinks that they are read. */
static void look_into_subdirectories(const char *directory, struct loaded_routes *loaded) {
  DIR *entries = opendir(directory);
  if (!entries)
    return;
  for (struct dirent *entry; (entry = readdir(entries));) {
    struct dirent **inside = NULL;
    char *path = entry->d_type == DT_DIR && entry->d_name[0] != '.' && !is_route_file(entry)
                     ? path_join(directory, entry->d_name)
                     : NULL;
    int count = path ? scandir(path, &inside, is_route_file, NULL) : 0;
    if (count > 0)
      fault_list_add(&loaded->warnings, path, 0, NULL, NULL,
                     "has Lua files in it, which are not read: route files stand in the directory itself");
    for (int i = 0; i < count; i++)
      free(inside[i]);
    free(inside);
    free(path);
  }
  closedir(entries);
}

/* 0 or -ECANCELED. */
static int warn_of_subdirectories(struct load_run *run) {
  char *directory = run->loaded->listed ? strdup(run->config->routes) : NULL;
  if (!directory)
    return 0;
  load_now_begin(run, &(struct load_now){.kind = LOAD_LIST, .path = directory});
  blocking_begin(run->blocking);
  look_into_subdirectories(directory, run->loaded);
  free(directory);
  if (!blocking_end(run->blocking))
    return -ECANCELED;
  load_now_end(run);
  return 0;
}

/* 0 or -ENOMEM. */
static int warn_of_nothing(struct load_run *run) {
  if (!run->loaded->listed || run->loaded->file_count > 0)
    return 0;
  return fault_list_add(&run->loaded->warnings, run->config->routes, 0, NULL, NULL,
                        "no route file (*.lua) in it: nothing is served");
}

static void warn_of_absent_jit_files(const struct config *config, struct loaded_routes *loaded) {
  for (size_t i = 0; i < config->jit_file_count; i++) {
    bool found = false;
    for (size_t k = 0; k < loaded->file_count && !found; k++)
      found = strcmp(config->jit_files[i], loaded->files[k].file) == 0;
    char message[512];
    snprintf(message, sizeof message, "there is no route file \"%.200s\" (base names, such as \"site.lua\")",
             config->jit_files[i]);
    if (!found)
      fault_list_add(&loaded->warnings, config->path, 0, NULL, "script.jit", message);
  }
}

void loaded_file_serve(struct loaded_file *file, struct file_version *good) {
  file_version_unref(file->good);
  file->good = good;
  file->routes = good ? good->routes : NULL;
  file->route_count = good ? good->route_count : 0;
  file->version = good ? good->version : NULL;
  file->version_number = good ? good->number : 0;
  file->hash = good ? good->hash : 0;
  file->size = good ? good->size : 0;
  file->function_count = good ? good->function_count : 0;
  file->loaded_at = good ? good->loaded_at : 0;
}

static void clear_file(struct loaded_file *file) {
  fault_list_clear(&file->warnings);
  file_version_unref(file->good);
  free(file->file);
  free(file->path);
}

static int load_all(struct load_run *run) {
  struct loaded_routes *loaded = run->loaded;
  size_t left = 0;
  int status = 0;
  for (size_t i = 0; i < loaded->file_count; i++) {
    pace_breathe(run->pace);
    if (status == 0)
      status = load_one(run, &loaded->files[i]);
    if (status == 0 && blocking_is_hurried(run->blocking))
      status = -ESHUTDOWN;
    if (status == -ENOENT) {
      clear_file(&loaded->files[i]);
      status = 0;
    } else {
      loaded->files[left++] = loaded->files[i];
    }
  }
  loaded->file_count = left;
  return status;
}

/* The directory can't be read: what is live stays. */
static int keep_all(struct load_run *run) {
  const struct memory *memory = &run->loader->memory;
  struct loaded_routes *loaded = run->loaded;
  loaded->files = calloc(memory->count + 1, sizeof *loaded->files);
  if (!loaded->files)
    return -ENOMEM;
  for (size_t i = 0; i < memory->count; i++) {
    struct file_version *good = memory->files[i].committed;
    if (!good)
      continue;
    struct loaded_file *file = &loaded->files[loaded->file_count++];
    file->file = strdup(good->file);
    file->path = path_join(run->config->routes, good->file);
    file->same = true;
    file->stands_in = good->is_copy ? FILE_LAST_GOOD : FILE_LIVE;
    loaded_file_serve(file, file_version_ref(good));
    if (!file->file || !file->path)
      return -ENOMEM;
  }
  return 0;
}

static int find_gone(struct load_run *run) {
  const struct memory *memory = &run->loader->memory;
  struct loaded_routes *loaded = run->loaded;
  size_t at = 0;
  loaded->gone = calloc(memory->count + 1, sizeof *loaded->gone);
  if (!loaded->gone)
    return -ENOMEM;
  for (size_t i = 0; i < memory->count && loaded->listed; i++) {
    const struct file_memory *file = &memory->files[i];
    while (at < loaded->file_count && strcmp(loaded->files[at].file, file->file) < 0)
      at++;
    if (!file->committed || (at < loaded->file_count && strcmp(loaded->files[at].file, file->file) == 0))
      continue;
    if (!(loaded->gone[loaded->gone_count] = strdup(file->file)))
      return -ENOMEM;
    loaded->gone_count++;
  }
  return 0;
}

static uint64_t sum_faults(const struct fault *const *faults, size_t count, uint64_t sum) {
  for (size_t i = 0; i < count; i++) {
    sum = text_hash(&faults[i]->line, sizeof faults[i]->line, sum);
    sum = text_hash(faults[i]->field, strlen(faults[i]->field), sum);
    sum = text_hash(faults[i]->message, strlen(faults[i]->message), sum);
  }
  return sum;
}

/* What there is to be said of each file, new or not. 0 or -ENOMEM. */
static int collect_warnings(struct load_run *run) {
  int status = 0;
  for (size_t i = 0; i < run->loaded->file_count && status == 0; i++) {
    struct loaded_file *file = &run->loaded->files[i];
    const struct file_memory *memory = memory_find(&run->loader->memory, file->file);
    if (!file->good)
      continue;
    status = fault_list_append(&file->warnings, &file->good->warnings);
    struct fault_index *own =
        status == 0 && memory && memory->between.count > 0 ? fault_index_by_content(&file->good->warnings) : NULL;
    for (size_t k = 0; own && k < memory->between.count && status == 0; k++)
      if (!fault_index_has(own, &memory->between.faults[k], true))
        status = fault_list_append(&file->warnings,
                                   &(const struct fault_list){.faults = &memory->between.faults[k], .count = 1});
    fault_index_free(own);
  }
  return status;
}

/* Which faults have been told already. Without memory none have. */
static void mark_reported(struct load_run *run) {
  struct loaded_routes *loaded = run->loaded;
  struct fault_index *index = fault_index_by_file(&loaded->faults);
  for (size_t i = 0; i < loaded->file_count && index; i++) {
    struct loaded_file *file = &loaded->files[i];
    struct file_memory *memory = file->ok ? NULL : memory_find(&run->loader->memory, file->file);
    size_t count = 0;
    const struct fault *const *faults = memory ? fault_index_of_file(index, file->path, &count) : NULL;
    if (count == 0)
      continue;
    uint64_t sum = sum_faults(faults, count, file->stands_in);
    file->fault_is_old = memory->fault_sum == sum;
    memory->fault_sum = sum;
  }
  fault_index_free(index);
}

void loaded_routes_number(struct loaded_routes *loaded, loaded_number_of *number_of, void *context) {
  for (size_t i = 0; i < loaded->file_count; i++)
    for (size_t k = 0; k < loaded->files[i].route_count && !loaded->files[i].same; k++) { /* those have theirs */
      struct route *route = loaded->files[i].routes[k];
      if (!route->shared)
        number_of(context, route->name, &route->stats, &route->shared);
    }
}

int loader_load_routes(struct loader *loader, const struct config *config, unsigned workers,
                       loaded_number_of *number_of, void *context, struct loaded_routes *loaded) {
  *loaded = (struct loaded_routes){0};
  struct load_run run;
  int status = load_run_init(&run, loader, config, workers, loaded);
  if (status < 0)
    return status;
  pace_breathe(run.pace);
  status = schema_sweep_versions(loader);
  pace_breathe(run.pace);
  if (status == 0)
    status = list_away(&run);
  loaded->listed = status == 0;
  pace_breathe(run.pace);
  if (status == 0)
    status = load_all(&run);
  else if (status == -EINVAL)
    status = keep_all(&run);
  if (status == 0 && loaded->listed)
    status = load_keep_vanished(&run);
  if (status == 0)
    status = warn_of_nothing(&run);
  if (status == 0)
    status = load_resolve_conflicts(&run);
  if (status == 0)
    status = find_gone(&run);
  pace_breathe(run.pace);
  if (status == 0)
    status = load_list_modules(&run);
  if (status == 0) {
    warn_of_absent_jit_files(config, loaded);
    status = warn_of_subdirectories(&run);
  }
  if (status == 0)
    status = collect_warnings(&run);
  pace_breathe(run.pace);
  if (status == 0) {
    mark_reported(&run);
    if (number_of)
      loaded_routes_number(loaded, number_of, context);
    status = loaded->listed ? 0 : -EINVAL;
    for (size_t i = 0; i < loaded->file_count; i++)
      status = loaded->files[i].ok ? status : -EINVAL;
  }
  return load_run_deinit(&run, status);
}

size_t loaded_routes_find(const struct loaded_routes *loaded, const char *file) {
  size_t from = 0, to = loaded->file_count;
  while (from < to) {
    size_t middle = from + (to - from) / 2;
    int order = strcmp(loaded->files[middle].file, file);
    if (order == 0)
      return middle;
    if (order < 0)
      from = middle + 1;
    else
      to = middle;
  }
  return loaded->file_count;
}

static void clear_strings(char **strings, size_t count) {
  for (size_t i = 0; i < count; i++)
    free(strings[i]);
  free(strings);
}

void loaded_routes_clear(struct loaded_routes *loaded) {
  for (size_t i = 0; i < loaded->file_count; i++)
    clear_file(&loaded->files[i]);
  free(loaded->files);
  clear_strings(loaded->gone, loaded->gone_count);
  clear_strings(loaded->module_files, loaded->module_file_count);
  fault_list_clear(&loaded->faults);
  fault_list_clear(&loaded->warnings);
  *loaded = (struct loaded_routes){0};
}
