/* SPDX-License-Identifier: MIT
 *
 * A whole moongate with a plane, from the command line to SIGTERM: what becomes of files whose routes a plane takes,
 * refuses, or can't commit. Its library is a copy in which the schema takes the engine's name. */
#include "control/control.h"

#include "../support/plane_double.h"

#include "instance/instance.h"
#include "net/listener.h"
#include "reload/files.h"
#include "reload/reload.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

enum { LOOK_MS = 100, LONGEST_LOOKS = 200, TEXT_SIZE = 512 };

struct step;

struct bench {
  struct runtime runtime;
  struct plane_double engine;
  char directory[64];
  struct endpoint moving; /* where the route is */
  struct endpoint beside; /* where another one is, of userspace */
  struct wheel_timer timer;
  const struct step *steps;
  size_t step, step_count;
  unsigned looks;
  const char *failed; /* the step that did not come about */
};

struct step {
  const char *what;
  void (*begin)(struct bench *bench);
  bool (*is_over)(const struct bench *bench);
};

static struct bench *bench_of_timer(struct wheel_timer *timer) {
  return (struct bench *)(void *)((char *)timer - offsetof(struct bench, timer));
}

static void write_text(const struct bench *bench, const char *name, const char *text) {
  char path[TEXT_SIZE];
  snprintf(path, sizeof path, "%s/%s", bench->directory, name);
  FILE *file = fopen(path, "we");
  assert_non_null(file);
  assert_true(fputs(text, file) >= 0);
  fclose(file);
}

static size_t read_text(const struct bench *bench, const char *name, char text[TEXT_SIZE]) {
  char path[TEXT_SIZE];
  snprintf(path, sizeof path, "%s/%s", bench->directory, name);
  FILE *file = fopen(path, "re");
  size_t size = file ? fread(text, 1, TEXT_SIZE - 1, file) : 0;
  text[size] = '\0';
  if (file)
    fclose(file);
  return size;
}

static void format_route(const struct bench *bench, const char *engine, int target, char text[TEXT_SIZE]) {
  snprintf(text, TEXT_SIZE,
           "return {\n  name = \"k\",\n  match = {\n    address = \"127.0.0.1\",\n    ports = %u,\n  },\n"
           "  action = { target = \"127.0.0.1:%d\", engine = \"%s\" },\n}\n",
           endpoint_port(&bench->moving), target, engine);
}

static void save_route(const struct bench *bench, const char *engine, int target) {
  char text[TEXT_SIZE];
  format_route(bench, engine, target, text);
  write_text(bench, "routes/k.lua", text);
}

static const struct instance *ready_instance(const struct bench *bench) {
  const struct instance *instance = bench->runtime.instance;
  return instance && instance->phase == INSTANCE_READY && instance->reload->phase == RELOAD_IDLE ? instance : NULL;
}

/* Nothing is under way, and the plane was told just that since the step began, or that again: what has failed is tried
 * when the watcher tells of it, too. */
static bool has_come_to(const struct bench *bench, const char *order) {
  const char *told = bench->engine.order;
  size_t length = strlen(order);
  if (!ready_instance(bench) || bench->engine.plane.phase != PLANE_IDLE || !*told)
    return false;
  while (strncmp(told, order, length) == 0)
    told += length;
  return *told == '\0';
}

/* The first time there was something before: who puts a file has it looked at. */
static bool has_come_to_once(const struct bench *bench, const char *order) {
  size_t length = strlen(order);
  const char *told = bench->engine.order;
  if (!ready_instance(bench) || bench->engine.plane.phase != PLANE_IDLE || strncmp(told, order, length) != 0)
    return false;
  for (told += length; strncmp(told, "pca", 3) == 0;)
    told += 3;
  return *told == '\0';
}

static bool is_listened_on(const struct bench *bench) {
  struct error error;
  return listener_probe(&bench->moving, &error) == -EADDRINUSE;
}

static const struct fault *only_fault(const struct bench *bench) {
  const struct fault_list *faults = &bench->runtime.instance->loaded.faults;
  return faults->count == 1 ? &faults->faults[0] : NULL;
}

static void start_nothing(struct bench *bench) { (void)bench; }

static bool is_taken_up(const struct bench *bench) { return has_come_to(bench, "pcr") && !is_listened_on(bench); }

static void save_what_is_refused(struct bench *bench) {
  bench->engine.refuses = "k";
  save_route(bench, "nftables", 2);
}

/* What was live stays, and the file is at fault, by route, field and line. */
static bool is_refused(const struct bench *bench) {
  if (!has_come_to(bench, "pa"))
    return false;
  const struct fault *fault = only_fault(bench);
  return fault && strcmp(fault->route, "k") == 0 && strcmp(fault->field, "match.ports") == 0 && fault->line == 5 &&
         strcmp(fault->message, "the kernel does not want it") == 0 &&
         bench->runtime.instance->table->routes[0]->targets[0].port == 1;
}

static void put_what_is_refused(struct bench *bench) {
  char text[TEXT_SIZE];
  format_route(bench, "nftables", 6, text);
  write_text(bench, "put1.lua", text);
}

/* The plane was asked, and what it had prepared given up: the file has not been written. */
static bool is_answered_unwritten(const struct bench *bench) {
  char code[TEXT_SIZE], body[TEXT_SIZE], file[TEXT_SIZE];
  return has_come_to(bench, "pa") && read_text(bench, "code1", code) == 3 && strcmp(code, "422") == 0 &&
         read_text(bench, "body1", body) > 0 && strstr(body, "the kernel does not want it") != NULL &&
         strstr(body, "\"line\":5") != NULL && read_text(bench, "routes/k.lua", file) > 0 &&
         strstr(file, "127.0.0.1:6") == NULL;
}

static void put_what_is_refused_late(struct bench *bench) {
  char text[TEXT_SIZE];
  bench->engine.refuses = NULL;
  bench->engine.refuses_late = "k";
  format_route(bench, "nftables", 3, text);
  write_text(bench, "put2.lua", text);
}

static bool is_answered_with_the_fault(const struct bench *bench) {
  char code[TEXT_SIZE], body[TEXT_SIZE];
  return has_come_to_once(bench, "papca") && read_text(bench, "code2", code) == 3 && strcmp(code, "409") == 0 &&
         read_text(bench, "body2", body) > 0 && strstr(body, "the kernel does not want it") != NULL &&
         bench->runtime.instance->table->routes[0]->targets[0].port == 1;
}

static void save_what_is_mended(struct bench *bench) {
  bench->engine.refuses_late = NULL;
  save_route(bench, "nftables", 4);
}

static bool is_mended(const struct bench *bench) {
  return has_come_to(bench, "pcr") && bench->runtime.instance->loaded.faults.count == 0 &&
         bench->runtime.instance->table->routes[0]->targets[0].port == 4;
}

static void save_what_fails(struct bench *bench) {
  bench->engine.fails = "c";
  save_route(bench, "nftables", 5);
}

/* No route is to blame: all stays as it is. */
static bool has_failed(const struct bench *bench) {
  return has_come_to(bench, "pca") && bench->runtime.instance->table->routes[0]->targets[0].port == 4;
}

static void tell_a_fault(struct bench *bench) {
  bench->engine.fails = NULL;
  plane_tell_fault(&bench->engine.plane, double_find(bench->engine.plane.live, "k"), NULL, "somebody has flushed it");
}

static bool is_told_with_the_file(const struct bench *bench) {
  struct value *files = value_table();
  instance_list_files(bench->runtime.instance, files);
  const struct value *file = files->first, *faults = value_get(file, "faults");
  bool is_told = !value_get(file, "ok")->boolean && strcmp(value_get(file, "state")->string, "impaired") == 0 &&
                 faults->first && value_get(faults->first, "line")->number > 0 &&
                 strcmp(value_get(faults->first, "message")->string, "somebody has flushed it") == 0;
  value_free(files);
  return is_told;
}

static void count_bytes(struct bench *bench) {
  plane_clear_faults(&bench->engine.plane);
  bench->engine.counts = 100;
  clock_advance(&bench->runtime.clock, (uint64_t)(PLANE_SAMPLE_MS + 10) * 1000000);
}

static bool is_counted(const struct bench *bench) {
  const struct instance *instance = bench->runtime.instance;
  return snapshots_sum_route(&instance->snapshots, instance->table->routes[0]->stats).bytes.in >= 100;
}

static void move_to_userspace(struct bench *bench) { save_route(bench, "userspace", 6); }
static bool is_moved(const struct bench *bench) { return has_come_to(bench, "pcr") && is_listened_on(bench); }
static void move_to_the_plane(struct bench *bench) { save_route(bench, "nftables", 7); }

/* The others are served; the file that the plane has refused is at fault, and was not asked for a second time. */
static bool is_served_without(const struct bench *bench) {
  struct error error;
  return has_come_to(bench, "pa") && only_fault(bench) && strcmp(only_fault(bench)->route, "k") == 0 &&
         only_fault(bench)->line == 5 && listener_probe(&bench->beside, &error) == -EADDRINUSE;
}

static void mend_what_was_refused(struct bench *bench) {
  bench->engine.refuses = NULL;
  save_route(bench, "nftables", 4);
}

static bool is_mended_beside(const struct bench *bench) {
  return has_come_to(bench, "pcr") && bench->runtime.instance->loaded.faults.count == 0;
}

static const struct step refused_steps[] = {
    {"a start with a route that is refused", start_nothing, is_served_without},
    {"the file is mended", mend_what_was_refused, is_mended_beside},
};

static const struct step steps[] = {
    {"a start with a route of the plane", start_nothing, is_taken_up},
    {"a route that is refused", save_what_is_refused, is_refused},
    {"a file that is put, and is refused", put_what_is_refused, is_answered_unwritten},
    {"a file that is put, and can't be committed", put_what_is_refused_late, is_answered_with_the_fault},
    {"the file is mended", save_what_is_mended, is_mended},
    {"a commit that fails", save_what_fails, has_failed},
    {"a fault of what is live", tell_a_fault, is_told_with_the_file},
    {"bytes that the plane counts", count_bytes, is_counted},
    {"a route that moves to userspace", move_to_userspace, is_moved},
    {"… and back", move_to_the_plane, is_taken_up},
};
enum { STEPS = sizeof steps / sizeof steps[0], REFUSED_STEPS = sizeof refused_steps / sizeof refused_steps[0] };

static void begin_step(struct bench *bench) {
  memset(bench->engine.order, 0, sizeof bench->engine.order);
  bench->looks = 0;
  bench->steps[bench->step].begin(bench);
}

static void on_look(struct wheel_timer *timer) {
  struct bench *bench = bench_of_timer(timer);
  if (!bench->steps[bench->step].is_over(bench) && ++bench->looks < LONGEST_LOOKS) {
    loop_set_timer(&bench->runtime.loop, timer, LOOK_MS);
    return;
  }
  if (bench->looks == LONGEST_LOOKS)
    print_error("%s: \"%s\"\n", bench->failed = bench->steps[bench->step].what, bench->engine.order);
  if (!bench->failed && ++bench->step < bench->step_count) {
    begin_step(bench);
    loop_set_timer(&bench->runtime.loop, timer, LOOK_MS);
    return;
  }
  memset(bench->engine.order, 0, sizeof bench->engine.order);
  kill(getpid(), SIGTERM);
}

static void run(const struct bench *bench, const char *format) {
  char command[TEXT_SIZE];
  snprintf(command, sizeof command, format, bench->directory);
  assert_int_equal(system(command), 0);
}

/* A moongate starts no programs: one that was started before puts the file, when it is there. */
static void start_putting(const struct bench *bench, int number) {
  char command[4 * TEXT_SIZE];
  snprintf(
      command, sizeof command,
      "cd %s && (for i in $(seq 600); do [ -s put%d.lua ] && break; sleep 0.05; done; curl -s -m 20 --unix-socket "
      "control"
      " -X PUT --data-binary @put%d.lua -o body%d -w '%%{http_code}' http://localhost/api/v1/files/k.lua >code%d) &",
      bench->directory, number, number, number, number);
  assert_int_equal(system(command), 0);
}

static void make_directory(struct bench *bench) {
  char text[TEXT_SIZE];
  snprintf(bench->directory, sizeof bench->directory, "/tmp/moongate-planes-XXXXXX");
  assert_non_null(mkdtemp(bench->directory));
  run(bench, "cp -r lua %s/lua");
  run(bench, "grep -rlZ 'enum = { \"userspace\" }' %s/lua | "
             "xargs -0 sed -i 's/enum = { \"userspace\" }/enum = { \"userspace\", \"nftables\" }/'");
  run(bench, "mkdir %s/routes");
  snprintf(text, sizeof text,
           "return { routes = \"%s/routes\", state = \"%s/state\", control = \"%s/control\",\n  admin = { listen = "
           "false }, workers = 2 }\n",
           bench->directory, bench->directory, bench->directory);
  write_text(bench, "moongate.lua", text);
}

/* Below those that the kernel gives to others meanwhile. */
static void find_free_port(struct endpoint *endpoint, unsigned from) {
  enum { FIRST = 12000, PORTS = 7900 };
  bool found = false;
  for (unsigned i = 0; i < PORTS && !found; i++) {
    uint16_t port = (uint16_t)(FIRST + ((unsigned)getpid() * 97 + from + i) % PORTS);
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(endpoint_from_literal(endpoint, "127.0.0.1", port), 0);
    found = bind(fd, (struct sockaddr *)&endpoint->storage, endpoint->length) == 0;
    close(fd);
  }
  assert_true(found);
}

/* 0, or says what went wrong. */
static int run_all(struct bench *bench) {
  struct error error;
  char library[TEXT_SIZE], config[TEXT_SIZE];
  snprintf(library, sizeof library, "%s/lua", bench->directory);
  snprintf(config, sizeof config, "%s/moongate.lua", bench->directory);
  if (runtime_init(&bench->runtime, library, &error) != 0 ||
      plane_init(&bench->engine.plane, &double_ops, &bench->runtime.loop, &bench->runtime.log) != 0)
    return 1;
  bench->runtime.plane = &bench->engine.plane;
  bench->timer.on_expired = on_look;
  begin_step(bench);
  loop_set_timer(&bench->runtime.loop, &bench->timer, LOOK_MS);
  int status = runtime_main(&bench->runtime, 3, (char *[]){"run", "--config", config});
  loop_cancel_timer(&bench->runtime.loop, &bench->timer);
  runtime_deinit(&bench->runtime);
  if (bench->failed || bench->step < bench->step_count || status != 0 || strcmp(bench->engine.order, "x") != 0)
    print_error("status %d in: %s (%s)\n", status, bench->failed ? bench->failed : "all", bench->engine.order);
  return bench->failed || bench->step < bench->step_count || status != 0 || strcmp(bench->engine.order, "x") != 0;
}

static void a_plane_takes_part_in_the_life_of_an_instance(void **state) {
  static struct bench bench = {.steps = steps, .step_count = STEPS};
  int status;
  (void)state;
  make_directory(&bench);
  find_free_port(&bench.moving, 0);
  save_route(&bench, "nftables", 1);
  start_putting(&bench, 1);
  start_putting(&bench, 2);
  pid_t child = fork();
  if (child == 0)
    _exit(run_all(&bench));
  assert_int_equal(waitpid(child, &status, 0), child);
  run(&bench, "rm -r %s");
  assert_int_equal(status, 0);
}

static void a_start_serves_what_the_plane_does_not_refuse(void **state) {
  static struct bench bench = {.steps = refused_steps, .step_count = REFUSED_STEPS};
  char text[TEXT_SIZE];
  int status;
  (void)state;
  make_directory(&bench);
  find_free_port(&bench.moving, 0);
  find_free_port(&bench.beside, 1000);
  save_route(&bench, "nftables", 1);
  snprintf(text, sizeof text,
           "return { match = { address = '127.0.0.1', ports = %u }, action = { target = '127.0.0.1:1' } }\n",
           endpoint_port(&bench.beside));
  write_text(&bench, "routes/a.lua", text);
  pid_t child = fork();
  if (child == 0) {
    bench.engine.refuses = "k";
    _exit(run_all(&bench));
  }
  assert_int_equal(waitpid(child, &status, 0), child);
  run(&bench, "rm -r %s");
  assert_int_equal(status, 0);
}

int main(void) {
  const struct CMUnitTest tests[] = {cmocka_unit_test(a_plane_takes_part_in_the_life_of_an_instance),
                                     cmocka_unit_test(a_start_serves_what_the_plane_does_not_refuse)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
