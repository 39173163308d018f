/* SPDX-License-Identifier: MIT
 *
 * What an instance opens, and what it says about that: first of all it makes sure that nobody else has its ports,
 * because sharing them (SO_REUSEPORT) would go unnoticed. */
#include "instance/instance.h"
#include "instance/parts.h"
#include "instance/runtime.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
  SUBJECT_SIZE = 320,
  PORTS_TEXT_SIZE = 512,
  HOST_SIZE = 64,
  MAX_ANNOUNCED = 1000 /* routes, one by one: the log is for people */
};

/* "127.0.0.1:9090", "[::1]:9090": the schema has seen to the form. */
static int parse_listen(const char *text, struct endpoint *endpoint, struct error *error) {
  char host[HOST_SIZE];
  const char *colon = strrchr(text, ':');
  size_t length = colon ? (size_t)(colon - text) : 0;
  if (colon && length < sizeof host) {
    memcpy(host, text, length);
    host[length] = '\0';
    unsigned long port = strtoul(colon + 1, NULL, 10);
    if (port <= UINT16_MAX && endpoint_from_literal(endpoint, host, (uint16_t)port) == 0)
      return 0;
  }
  return error_set(error, EINVAL, "\"%s\" is no address and port; write it like \"127.0.0.1:9090\"", text);
}

static bool is_any(const struct ip_address *address) {
  static const uint8_t any_ipv4[16] = {[10] = 0xff, [11] = 0xff}, any_ipv6[16] = {0};
  return memcmp(address->bytes, any_ipv4, sizeof any_ipv4) == 0 ||
         memcmp(address->bytes, any_ipv6, sizeof any_ipv6) == 0;
}

const struct table_port *instance_find_admin_clash(const struct route_table *table, const char *admin_listen) {
  struct endpoint admin;
  struct ip_address ours, theirs;
  if (!admin_listen || parse_listen(admin_listen, &admin, NULL) != 0 || endpoint_port(&admin) == 0)
    return NULL;
  ip_address_from_sockaddr(&ours, (const struct sockaddr *)&admin.storage);
  for (size_t i = 0; i < table->port_count; i++) {
    ip_address_from_sockaddr(&theirs, (const struct sockaddr *)&table->ports[i].endpoint.storage);
    if (table->ports[i].port == ours.port &&
        (is_any(&ours) || is_any(&theirs) || memcmp(ours.bytes, theirs.bytes, sizeof ours.bytes) == 0))
      return &table->ports[i];
  }
  return NULL;
}

void instance_explain_admin_clash(const struct table_port *clash, struct error *error) {
  error_set(error, EINVAL, "port %u is that of admin.listen; change one of the two", clash->port);
}

int instance_note_admin_clash(const struct instance *instance, struct port_change *ports) {
  struct error error;
  const struct table_port *clash = instance_find_admin_clash(ports->table, instance->config.admin.listen);
  if (!clash)
    return 0;
  instance_explain_admin_clash(clash, &error);
  return port_change_fail(ports, (uint32_t)(clash - ports->table->ports), &error);
}

/* 0 or a negative errno and `error`. */
static int try_admin(struct instance *instance, struct error *error) {
  struct runtime *runtime = instance->runtime;
  struct endpoint endpoint;
  if (parse_listen(instance->config.admin.listen, &endpoint, error) != 0 || listener_probe(&endpoint, error) != 0)
    return -error->code;
  instance->admin = admin_open(&runtime->loop, &runtime->host, &runtime->log, &endpoint, "tcp", error);
  return instance->admin ? 0 : -error->code;
}

static void open_admin_again(struct instance *instance) {
  struct error error;
  if (try_admin(instance, &error) == 0)
    part_succeed(instance, PART_ADMIN);
  else
    part_fail(instance, PART_ADMIN, &error);
}

int instance_open_admin(struct instance *instance) {
  struct error error;
  if (!instance->config.admin.listen || try_admin(instance, &error) == 0)
    return 0;
  if (instance->strict)
    return instance_complain("admin.listen", &error);
  instance->parts[PART_ADMIN].again = open_admin_again;
  part_fail(instance, PART_ADMIN, &error);
  return 0;
}

/* Whoever owns the directory may have put something else there meanwhile. 0 or a negative errno. */
static int give_socket(const char *path, const struct account *account) {
  struct stat entry;
  int fd = open(path, O_PATH | O_NOFOLLOW | O_CLOEXEC);
  if (fd < 0)
    return -errno;
  int status = fstat(fd, &entry) == 0 ? 0 : -errno;
  if (status == 0 && !S_ISSOCK(entry.st_mode))
    status = -ENOTSOCK;
  if (status == 0 && (entry.st_uid != geteuid() || entry.st_nlink != 1))
    status = -EPERM; /* not the one that was made, or another's second name */
  if (status == 0 && fchownat(fd, "", account->uid, account->gid, AT_EMPTY_PATH) != 0)
    status = -errno;
  close(fd);
  return status;
}

/* As root: the directory is mostly root's. */
static int give_control(const struct instance *instance) {
  struct error error;
  const struct account *account = &instance->account;
  int status = account->is_set ? give_socket(instance->control_path, account) : 0;
  if (status == 0)
    return 0;
  error_set(&error, -status, "can't be given to the user \"%s\": %s", account->name, strerror(-status));
  error_set_place(&error, "%s", instance->control_path);
  return instance_complain("control socket", &error);
}

int instance_open_control(struct instance *instance) {
  struct runtime *runtime = instance->runtime;
  struct endpoint endpoint;
  struct error error;
  if (!instance->control_path) {
    LOG(&runtime->log, LOG_WARN,
        "there is no control socket, since XDG_RUNTIME_DIR is not set: name one as `control` in the config");
    return 0;
  }
  int status = endpoint_from_unix_path(&endpoint, instance->control_path);
  if (status != 0) {
    error_set(&error, -status, "the path of the control socket is %s; choose another (--control)",
              status == -ENAMETOOLONG ? "too long (107 bytes at most)" : "empty");
    error_set_place(&error, "%s", instance->control_path);
  } else {
    instance->control = admin_open(&runtime->loop, &runtime->host, &runtime->log, &endpoint, "control", &error);
  }
  if (instance->control)
    return give_control(instance);
  bool is_unwritable = error.code == EACCES || error.code == EROFS || error.code == ENOSPC || error.code == EDQUOT;
  if (instance->strict || !is_unwritable)
    return instance_complain("control socket", &error);
  part_fail(instance, PART_CONTROL, &error);
  return 0;
}

struct port_change *instance_probe_ports(const struct instance *instance) {
  struct port_change *ports = port_change_new(NULL, instance->table);
  if (ports && instance_note_admin_clash(instance, ports) == 0 && port_change_probe(ports, NULL) == 0)
    return ports;
  port_change_free(ports);
  return NULL;
}

void instance_complain_of_port(const struct port_failure *failure, const struct route_table *table) {
  char subject[SUBJECT_SIZE];
  const struct route *route = table->ports[failure->place].routes[0];
  snprintf(subject, sizeof subject, "route \"%s\" (%s)", route->name, route->file);
  instance_complain(subject, &failure->error);
}

bool instance_error_passes(const struct error *error) {
  return error->code == EADDRINUSE || error->code == EADDRNOTAVAIL;
}

/* "8080" or "8000-8010 9000": the real ones. */
static void format_ports(const struct instance *instance, const struct route *route, char text[PORTS_TEXT_SIZE]) {
  const struct route_table *table = instance->table;
  size_t length = 0;
  unsigned from = 0, to = 0;
  text[0] = '\0';
  for (size_t i = 0; i <= table->port_count && length + 16 < PORTS_TEXT_SIZE; i++) {
    bool wanted = i < table->port_count && table_port_has(&table->ports[i], route);
    unsigned port = wanted ? instance->resolved[i] : 0;
    if (i < table->port_count && (!wanted || port == to))
      continue;
    if (from && port == to + 1) {
      to = port;
      continue;
    }
    if (from)
      length += (size_t)snprintf(text + length, PORTS_TEXT_SIZE - length, from == to ? "%s%u" : "%s%u-%u",
                                 length ? " " : "", from, to);
    from = to = port;
  }
}

/* An address that a browser on this machine reaches the endpoint by. */
static void format_url(const struct endpoint *endpoint, char *text, size_t size) {
  char address[ENDPOINT_TEXT_SIZE];
  struct ip_address ip;
  ip_address_from_sockaddr(&ip, (const struct sockaddr *)&endpoint->storage);
  if (is_any(&ip))
    snprintf(text, size, "http://localhost:%u/", endpoint_port(endpoint));
  else
    snprintf(text, size, "http://%s/", endpoint_format(endpoint, address));
}

/* What the route is bound to: "*:9000" where that is all addresses; without the port when there are several. */
static void format_port_address(const struct route *route, const char *ports, char text[ENDPOINT_TEXT_SIZE]) {
  char *end;
  unsigned long port = strtoul(ports, &end, 10);
  bool is_single = *ports != '\0' && *end == '\0';
  struct endpoint endpoint = route->address;
  if (!endpoint.length) {
    snprintf(text, ENDPOINT_TEXT_SIZE, is_single ? "*:%lu" : "*", port);
  } else if (is_single) {
    endpoint_set_port(&endpoint, (uint16_t)port);
    endpoint_format(&endpoint, text);
  } else {
    struct ip_address ip;
    ip_address_from_sockaddr(&ip, (const struct sockaddr *)&endpoint.storage);
    ip_address_format(&ip, text);
  }
}

void instance_announce(const struct instance *instance) {
  const struct log *log = instance->log;
  const struct route_table *table = instance->table;
  char text[PORTS_TEXT_SIZE], address[ENDPOINT_TEXT_SIZE], admin[ENDPOINT_TEXT_SIZE + 16] = "";
  for (size_t i = 0; i < table->route_count && i < MAX_ANNOUNCED; i++) {
    const struct route *route = table->routes[i];
    format_ports(instance, route, text);
    format_port_address(route, text, address);
    LOG(log, LOG_INFO, "listening", LOG_STRING("route", route->name), LOG_STRING("ports", text),
        LOG_STRING("address", address), LOG_STRING("action", route->action == ROUTE_HANDLER ? "handler" : "forward"),
        LOG_STRING("file", route->file));
  }
  if (table->route_count > MAX_ANNOUNCED)
    LOG(log, LOG_INFO, "listening, for more routes than are named here; `moongate routes` lists them",
        LOG_INTEGER("routes", table->route_count - MAX_ANNOUNCED));
  if (instance->admin)
    format_url(admin_endpoint(instance->admin), admin, sizeof admin);
  LOG(log, LOG_INFO, "ready", LOG_STRING("version", MOONGATE_VERSION), LOG_INTEGER("routes", table->route_count),
      LOG_INTEGER("workers", instance->threads.count), LOG_STRING("admin", admin[0] ? admin : NULL),
      LOG_STRING("control", instance->control_path), LOG_STRING("user", instance->account.name));
}
