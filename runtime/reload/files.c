/* SPDX-License-Identifier: MIT
 *
 * Putting a file: checked on the loader thread, then written (files_change.c) and reloaded. The loader does one after
 * the other. */
#include "reload/files.h"

#include "instance/instance.h"
#include "instance/runtime.h"
#include "reload/files_private.h"
#include "reload/reload.h"
#include "script/version.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { PATH_SIZE = 4096, WAIT_MS = 50 };

/* The part of a put that the loader thread does: what it works on is left to that thread when it does not come back. */
struct put_check {
  struct loading_job job;
  struct file_put *put; /* NULL: it has been answered already */
  const struct config *config;
  struct loader *loader;
  char *text;
  size_t size;
  struct fault_list faults;
  struct route_table *table; /* of its routes alone; NULL: it would not load */
  struct route_table *live;  /* beside which its ports are looked at; NULL: they have not been yet */
  struct port_change *ports; /* between the two */
  int line;                  /* of the first port that can't be opened; 0: not known */
  struct route_table *whole; /* with the others of what is live, where an engine has a say in it; else NULL */
  bool asks_engine;
  int status;
  char name[ROUTE_FILE_NAME_LONGEST + 1];
};

/* A file that is being put. */
struct file_put {
  struct list_node node; /* in instance->puts */
  struct instance *instance;
  struct native_call *call;
  struct put_check *check;
  bool is_probing;         /* the engine is asked … */
  struct wheel_timer wait; /* … or will be, once it has nothing else under way … */
  clock_ms wait_until;     /* … before then */
};

static struct value *answer_with_faults(int status, const struct instance *instance, const char *message,
                                        struct value **faults) {
  struct value *root = value_table();
  value_set_number(root, "status", status);
  value_set_number(root, "generation", instance->table ? (double)instance->table->generation : 0);
  value_set_string(root, "message", message);
  *faults = value_set_table(root, "faults");
  return root;
}

struct value *files_answer(int status, const struct instance *instance, const char *message) {
  struct value *faults;
  return answer_with_faults(status, instance, message, &faults);
}

static struct put_check *check_of(struct loading_job *job) {
  return (struct put_check *)(void *)((char *)job - offsetof(struct put_check, job));
}

static void drop_check(struct loading_job *job) {
  struct put_check *check = check_of(job);
  fault_list_clear(&check->faults);
  port_change_free(check->ports);
  route_table_unref(check->live);
  route_table_unref(check->whole);
  route_table_unref(check->table);
  free(check->text);
  free(check);
}

static void put_free(struct file_put *put) {
  if (put->is_probing)
    plane_abort(put->instance->plane);
  loop_cancel_timer(&put->instance->runtime->loop, &put->wait);
  list_remove(&put->node);
  put->check->put = NULL;
  free(put);
}

static void run_check(struct loading_job *job) {
  struct put_check *check = check_of(job);
  check->status = loader_check_candidate(check->loader, check->config, check->name, check->text, check->size,
                                         &check->faults, &check->table);
}

static struct value *file_refuse(const struct file_put *put) {
  struct value *faults;
  struct value *root = answer_with_faults(422, put->instance, "it would not load; nothing has changed", &faults);
  report_faults(faults, &put->check->faults, NULL);
  return root;
}

static bool is_of_engine(const struct plane *plane, const struct route_table *table) {
  return plane && table->engines >> plane->ops->engine & 1;
}

/* What is live, with the file in the place of its version there. 0 or -ENOMEM. */
static int make_whole(struct put_check *check) {
  const struct route_table *live = check->live, *own = check->table;
  struct route **routes = calloc(live->route_count + own->route_count + 1, sizeof *routes);
  struct script_version **scripts = calloc(live->script_count + own->script_count + 1, sizeof *scripts);
  size_t count = 0, script_count = 0;
  struct error error;
  for (size_t i = 0; routes && i < live->route_count; i++)
    if (strcmp(live->routes[i]->file, check->name) != 0)
      routes[count++] = live->routes[i];
  for (size_t i = 0; routes && i < own->route_count; i++)
    routes[count++] = own->routes[i];
  for (size_t i = 0; scripts && i < live->script_count; i++)
    scripts[script_count++] = script_version_ref(live->scripts[i]);
  for (size_t i = 0; scripts && i < own->script_count; i++)
    scripts[script_count++] = script_version_ref(own->scripts[i]);
  if (routes && scripts)
    check->whole = route_table_new(routes, count, scripts, script_count, script_version_unref, &error);
  for (size_t i = 0; !check->whole && i < script_count; i++)
    script_version_unref(scripts[i]);
  free(routes);
  free(scripts);
  return check->whole ? 0 : -ENOMEM;
}

/* On the loader thread: thousands of ports take long to look at. */
static void run_probe(struct loading_job *job) {
  struct put_check *check = check_of(job);
  check->ports = port_change_new(check->live, check->table);
  check->status = check->ports ? port_change_probe(check->ports, loader_pace(check->loader)) : -ENOMEM;
  if (check->status == 0 && check->ports->failure_count > 0) {
    const struct route *route = check->table->ports[check->ports->failures[0].place].routes[0];
    check->line = loader_find_candidate_line(check->loader, check->name, route->name, "match.ports");
  } else if (check->status == 0 && check->asks_engine) {
    check->status = make_whole(check);
  }
}

/* One that a reload has taken meanwhile is ours, and what comes of it is the next reload's to say. */
static bool file_is_refused(const struct file_put *put, const struct port_failure *failure) {
  const struct reload *reload = put->instance->reload;
  const struct route_table *coming = reload->phase == RELOAD_SWAPPING ? reload->table : NULL;
  uint16_t port = put->check->table->ports[failure->place].port;
  bool is_new = !route_table_uses_port(put->check->live, port) && failure->error.code == EADDRINUSE &&
                (route_table_uses_port(put->instance->table, port) || (coming && route_table_uses_port(coming, port)));
  return !is_new;
}

static struct value *refuse_port(const struct file_put *put, const struct table_port *port, const struct error *error) {
  const struct instance *instance = put->instance;
  const struct route *route = port->routes[0];
  char path[PATH_SIZE];
  snprintf(path, sizeof path, "%s/%s", instance->config.routes, put->check->name);
  struct value *faults;
  struct value *root = answer_with_faults(422, instance, "a port of it can't be opened; nothing has changed", &faults);
  report_fault(faults, path, put->check->line ? put->check->line : route->line, route->name, "match.ports",
               error->message);
  return root;
}

/* NULL, or the answer to one that would load and could not listen. */
static struct value *refuse_ports(const struct file_put *put) {
  const struct put_check *check = put->check;
  for (size_t i = 0; i < check->ports->failure_count; i++)
    if (file_is_refused(put, &check->ports->failures[i]))
      return refuse_port(put, &check->table->ports[check->ports->failures[i].place], &check->ports->failures[i].error);
  return NULL;
}

static struct value *refuse_admin_clash(const struct file_put *put) {
  const struct instance *instance = put->instance;
  const struct table_port *clash = instance_find_admin_clash(put->check->table, instance->config.admin.listen);
  struct error error;
  if (!clash)
    return NULL;
  instance_explain_admin_clash(clash, &error);
  return refuse_port(put, clash, &error);
}

/* Answers, or has it written and taken up. */
static void finish_put(struct file_put *put, struct value *refusal) {
  struct instance *instance = put->instance;
  struct native_call *call = put->call;
  struct put_check *check = put->check;
  put_free(put);
  if (refusal) {
    native_call_answer(call, refusal);
  } else {
    files_write(instance, check->name, check->text, check->size, call);
    check->text = NULL;
  }
  drop_check(&check->job);
}

static struct value *refuse_without_memory(const struct file_put *put) {
  return files_answer(500, put->instance, "it could not be checked: no memory");
}

/* On the loader thread. */
static void run_find_lines(struct loading_job *job) {
  const struct put_check *check = check_of(job);
  for (size_t i = 0; i < check->faults.count; i++) {
    struct fault *fault = &check->faults.faults[i];
    int line = loader_find_candidate_line(check->loader, check->name, fault->route, fault->field);
    fault->line = line ? line : fault->line;
  }
}

static void on_lines_found(struct loading_job *job) {
  struct file_put *put = check_of(job)->put;
  struct value *faults;
  if (!put) {
    drop_check(job);
    return;
  }
  struct value *root =
      answer_with_faults(422, put->instance, "an engine refuses a route of it; nothing has changed", &faults);
  report_faults(faults, &put->check->faults, NULL);
  finish_put(put, root);
}

/* What is refused of the file, as its faults; of others nothing has changed. */
static void collect_refusals(struct file_put *put, const struct plane_faults *refusals) {
  char path[PATH_SIZE];
  snprintf(path, sizeof path, "%s/%s", put->instance->config.routes, put->check->name);
  for (size_t i = 0; i < refusals->count; i++) {
    const struct plane_fault *refusal = &refusals->faults[i];
    if (strcmp(refusal->route->file, put->check->name) == 0)
      fault_list_add(&put->check->faults, path, refusal->route->line, refusal->route->name, refusal->field,
                     refusal->message);
  }
}

static void ask_engine(struct file_put *put);

/* An error that is no route's is for the reload to meet, or not to meet any more. */
static void on_engine_asked(struct plane *plane, int status, void *context) {
  struct file_put *put = context;
  put->is_probing = false;
  if (status == -EAGAIN) {
    ask_engine(put);
    return;
  }
  if (status < 0)
    collect_refusals(put, &plane->refusals);
  if (put->check->faults.count == 0) {
    finish_put(put, NULL);
    return;
  }
  put->check->job.run = run_find_lines;
  put->check->job.on_done = on_lines_found;
  loading_post(&put->instance->loading, &put->check->job);
}

static void on_put_wait(struct wheel_timer *timer) {
  ask_engine((struct file_put *)(void *)((char *)timer - offsetof(struct file_put, wait)));
}

/* Beside a reload its answers would be taken for the reload's. */
static void ask_engine(struct file_put *put) {
  struct instance *instance = put->instance;
  struct loop *loop = &instance->runtime->loop;
  bool is_idle = instance->reload->phase == RELOAD_IDLE || instance->reload->phase == RELOAD_STORING;
  put->is_probing = is_idle && plane_probe(instance->plane, put->check->whole, on_engine_asked, put);
  if (put->is_probing)
    return;
  if (put->wait_until == 0)
    put->wait_until = clock_now(loop->clock) + PLANE_PATIENCE_MS;
  if (clock_now(loop->clock) >= put->wait_until) {
    finish_put(put, NULL); /* the reload asks it */
    return;
  }
  put->wait.on_expired = on_put_wait;
  loop_set_timer(loop, &put->wait, WAIT_MS);
}

static void on_probed(struct loading_job *job) {
  struct put_check *check = check_of(job);
  struct file_put *put = check->put;
  if (!put) {
    drop_check(job);
    return;
  }
  struct value *refusal = check->status < 0 ? refuse_without_memory(put) : refuse_ports(put);
  if (!refusal && check->whole)
    ask_engine(put);
  else
    finish_put(put, refusal);
}

static void on_checked(struct loading_job *job) {
  struct put_check *check = check_of(job);
  struct file_put *put = check->put;
  if (!put) {
    drop_check(job);
    return;
  }
  struct value *refusal = NULL;
  if (check->faults.count > 0)
    refusal = file_refuse(put);
  else
    refusal = check->status != 0 ? refuse_without_memory(put) : refuse_admin_clash(put);
  if (refusal) {
    finish_put(put, refusal);
    return;
  }
  check->live = route_table_ref(put->instance->table);
  check->asks_engine = is_of_engine(put->instance->plane, check->table);
  check->job.run = run_probe;
  check->job.on_done = on_probed;
  loading_post(&put->instance->loading, &check->job);
}

static void on_check_lost(struct loading_job *job, enum loader_loss loss, const char *message) {
  const struct put_check *check = check_of(job);
  struct file_put *put = check->put;
  (void)loss;
  if (!put)
    return;
  char path[PATH_SIZE];
  struct native_call *call = put->call;
  struct value *faults;
  struct value *root = answer_with_faults(422, put->instance, "it does not load; nothing has changed", &faults);
  snprintf(path, sizeof path, "%s/%s", put->instance->config.routes, check->name);
  report_fault(faults, path, 0, "", "", message);
  put_free(put);
  native_call_answer(call, root);
}

static bool on_check_refused(struct loading_job *job, const char *message) {
  struct file_put *put = check_of(job)->put;
  if (put) {
    struct native_call *call = put->call;
    struct value *root = files_answer(503, put->instance, message);
    put_free(put);
    native_call_answer(call, root);
  }
  drop_check(job);
  return true;
}

/* NULL without memory. */
static struct file_put *put_new(struct instance *instance, const char *name, const char *text, size_t size) {
  struct file_put *put = calloc(1, sizeof *put);
  struct put_check *check = calloc(1, sizeof *check);
  if (!put || !check || !(check->text = malloc(size + 1))) {
    free(put);
    free(check);
    return NULL;
  }
  check->job = (struct loading_job){
      .run = run_check,
      .on_done = on_checked,
      .on_lost = on_check_lost,
      .on_refused = on_check_refused,
      .drop = drop_check,
  };
  check->put = put;
  check->config = &instance->config;
  check->loader = instance->loader;
  memcpy(check->text, text, size);
  check->size = size;
  snprintf(check->name, sizeof check->name, "%s", name);
  put->instance = instance;
  put->check = check;
  list_add_tail(&instance->puts, &put->node);
  return put;
}

/* NULL when there is nothing against it. */
static struct value *refuse_request(const struct instance *instance, const char *name) {
  if (!route_file_is_writable(name))
    return files_answer(400, instance, "a file's name has letters, digits, \"-\", \"_\" and \".\", and ends in .lua");
  if (instance->phase != INSTANCE_READY)
    return files_answer(409, instance, "moongate is starting or stopping");
  return NULL;
}

void instance_put_file(struct instance *instance, const char *name, const char *text, size_t size,
                       struct native_call *call) {
  struct value *refusal = refuse_request(instance, name);
  struct file_put *put = refusal ? NULL : put_new(instance, name, text, size);
  if (!put) {
    native_call_answer(call, refusal ? refusal : files_answer(500, instance, "no memory"));
    return;
  }
  put->call = call;
  loading_post(&instance->loading, &put->check->job);
}

void instance_delete_file(struct instance *instance, const char *name, struct native_call *call) {
  struct value *refusal = refuse_request(instance, name);
  if (refusal)
    native_call_answer(call, refusal);
  else
    files_remove(instance, name, call);
}

void files_stop(struct instance *instance) {
  LIST_FOREACH(node, &instance->puts) {
    struct file_put *put = LIST_OWNER(node, struct file_put, node);
    struct native_call *call = put->call;
    put_free(put);
    native_call_answer(call, files_answer(409, instance, "moongate is stopping"));
  }
  files_change_stop(instance);
}
