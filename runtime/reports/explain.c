/* SPDX-License-Identifier: MIT
 *
 * The question, from words to what a connection would bring, and the table that it is asked of: the live one, or one
 * that is loaded for it as `moongate check` does. */
#include "reports/explain_private.h"

#include "instance/instance.h"
#include "instance/runtime.h"
#include "threads/loading_apart.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { ADDRESSES_SIZE = 256 };

static struct value *explain_refuse(struct value *root, int status, const struct error *error) {
  value_set_number(root, "status", status);
  value_set_string(root, "error", error->message);
  return root;
}

static int read_domain(struct route_question *question, const char *text, char normal[DOMAIN_SIZE + 1],
                       struct error *error) {
  size_t length = domain_normalize(normal, text, strlen(text));
  if (length == 0)
    return error_set(error, EINVAL, "domain: expected a name of 1 to 255 characters");
  normal[length] = '\0';
  question->domain = normal;
  question->domain_length = length;
  return 0;
}

static int explain_read_address(struct ip_address *address, const char *field, const char *text, struct error *error) {
  struct endpoint endpoint;
  if (endpoint_from_literal(&endpoint, text, 0) != 0)
    return error_set(error, EINVAL, "%s: expected an address such as 192.0.2.7 or 2001:db8::1, got \"%.64s\"", field,
                     text);
  ip_address_from_sockaddr(address, (const struct sockaddr *)&endpoint.storage);
  return 0;
}

static int read_tls_version(struct route_question *question, const char *text, struct error *error) {
  question->tls_versions = tls_version_from_label(text);
  if (question->tls_versions)
    return 0;
  return error_set(error, EINVAL, "tls_version: expected 1.0, 1.1, 1.2 or 1.3, got \"%.32s\"", text);
}

static int read_words(const struct native_explain *words, struct explained *explained, struct error *error) {
  struct route_question *question = &explained->question;
  int status = words->domain ? read_domain(question, words->domain, explained->domain, error) : 0;
  if (status == 0 && words->client_ip)
    status = explain_read_address(&question->client, "client_ip", words->client_ip, error);
  if (status == 0 && words->address)
    status = explain_read_address(&explained->address, "address", words->address, error);
  if (status == 0 && words->tls_version)
    status = read_tls_version(question, words->tls_version, error);
  explained->limit = words->limit;
  explained->open = (words->client_ip ? 0U : ROUTE_OPEN_CLIENT_IP) | (words->tls_version ? 0U : ROUTE_OPEN_TLS_VERSION);
  return status;
}

static struct ip_address address_at(const struct table_port *port) {
  struct ip_address address;
  ip_address_from_sockaddr(&address, (const struct sockaddr *)&port->endpoint.storage);
  return address;
}

/* Do connections to `wanted` (not set: any) come in here: 0 no, 1 they fall back to it, up to 3 it is the very one. */
static int fitness(const struct table_port *port, const struct ip_address *wanted) {
  static const struct in6_addr any = IN6ADDR_ANY_INIT;
  const struct sockaddr_storage *own = &port->endpoint.storage;
  bool is_ipv6 = own->ss_family == AF_INET6;
  bool is_any = is_ipv6 ? memcmp(&((const struct sockaddr_in6 *)own)->sin6_addr, &any, sizeof any) == 0
                        : ((const struct sockaddr_in *)own)->sin_addr.s_addr == INADDR_ANY;
  char text[ADDRESS_TEXT_SIZE], other[ADDRESS_TEXT_SIZE];
  struct ip_address address = address_at(port);
  if (!wanted->is_set)
    return is_any && is_ipv6 ? 3 : 1;
  if (strcmp(ip_address_format(&address, text), ip_address_format(wanted, other)) == 0)
    return 3;
  return !is_any || (!is_ipv6 && !ip_address_is_ipv4(wanted)) ? 0 : is_ipv6 ? 1 : 2;
}

/* Writes which ports there are, each once. */
static size_t explain_write_ports(struct value *root, const struct route_table *table, const uint16_t *resolved) {
  struct value *ports = value_set_table(root, "ports");
  size_t count = 0;
  for (size_t i = 0; i < table->port_count; i++) {
    uint16_t port = resolved ? resolved[i] : table->ports[i].port;
    if (i > 0 && port == (resolved ? resolved[i - 1] : table->ports[i - 1].port))
      continue;
    value_set_number(ports, NULL, port);
    count++;
  }
  return count;
}

/* Who names a domain or a version speaks TLS, and so does who comes to a port that has nothing else, unless the
 * question says otherwise. */
static bool speaks_tls(const struct native_explain *words, const struct table_port *port) {
  if (words->tls >= 0)
    return words->tls > 0;
  return words->domain || words->tls_version || (port->has_tls && !port->has_plain);
}

/* Of several addresses with this port the one that is asked for, else the one that all others fall back to. */
static const struct table_port *explain_find_port(const struct explained *explained, const struct route_table *table,
                                                  const uint16_t *resolved, int wanted, uint16_t *number) {
  const struct table_port *found = NULL;
  int best = 0;
  for (size_t i = 0; i < table->port_count; i++) {
    uint16_t port = resolved ? resolved[i] : table->ports[i].port;
    int fits = wanted < 0 || wanted == port ? fitness(&table->ports[i], &explained->address) : 0;
    if (fits <= best)
      continue;
    found = &table->ports[i];
    best = fits;
    *number = port;
  }
  return found;
}

/* Where it comes in, when that is not everywhere, and the other addresses that have this port. */
static void write_addresses(struct value *root, const struct explained *explained, const uint16_t *resolved,
                            uint16_t number) {
  const struct route_table *table = explained->table;
  struct value *others = NULL;
  char text[ADDRESS_TEXT_SIZE];
  for (size_t i = 0; i < table->port_count; i++) {
    struct ip_address address = address_at(&table->ports[i]);
    ip_address_format(&address, text);
    if (&table->ports[i] == explained->port) {
      if (strcmp(text, "::") != 0 && strcmp(text, "0.0.0.0") != 0)
        value_set_string(root, "address", text);
    } else if ((resolved ? resolved[i] : table->ports[i].port) == number) {
      others = others ? others : value_set_table(root, "other_addresses");
      value_set_string(others, NULL, text);
    }
  }
}

/* ", only on 127.0.0.1, 127.0.0.2", of the port that is asked about; "" for none. */
static const char *list_addresses(const struct route_table *table, const uint16_t *resolved, int wanted,
                                  char text[ADDRESSES_SIZE]) {
  size_t length = 0;
  char address[ADDRESS_TEXT_SIZE];
  text[0] = '\0';
  for (size_t i = 0; i < table->port_count && length + ADDRESS_TEXT_SIZE + 40 < ADDRESSES_SIZE; i++) {
    if ((resolved ? resolved[i] : table->ports[i].port) != wanted)
      continue;
    struct ip_address at = address_at(&table->ports[i]);
    length += (size_t)snprintf(text + length, ADDRESSES_SIZE - length, "%s%s", length ? ", " : ", only on ",
                               ip_address_format(&at, address));
  }
  return text;
}

/* Whether it speaks TLS, what of that the port takes, and whether it had to be assumed where that matters. */
static void write_tls(struct value *root, const struct native_explain *words, const struct explained *explained) {
  const struct table_port *port = explained->port;
  value_set_boolean(root, "tls", explained->question.is_tls);
  value_set_string(root, "takes", table_port_takes(port));
  if (port->has_tls && port->has_plain && words->tls < 0 && !words->tls_version)
    value_set_boolean(root, "tls_assumed", true);
}

static struct value *explain_table(struct value *root, const struct native_explain *question, struct route_table *table,
                                   const uint16_t *resolved, struct explained *explained) {
  char client[ADDRESS_TEXT_SIZE];
  char addresses[ADDRESSES_SIZE];
  uint16_t number = 0;
  struct error error;
  if (read_words(question, explained, &error) != 0)
    return explain_refuse(root, 400, &error);
  size_t ports = explain_write_ports(root, table, resolved);
  if (ports == 0)
    error_set(&error, ENOENT, "there is no live route, so nothing listens");
  else if (question->port < 0 && ports > 1)
    error_set(&error, EINVAL, "which port? There are %zu", ports);
  else if (!(explained->port = explain_find_port(explained, table, resolved, question->port, &number)))
    error_set(&error, ENOENT, "%s port %d%s%.64s%s",
              resolved ? "nothing listens on" : "no route of these files listens on", question->port,
              question->address ? " of " : "", question->address ? question->address : "",
              list_addresses(table, resolved, question->port, addresses));
  if (!explained->port)
    return explain_refuse(root, ports > 1 && question->port < 0 ? 400 : 404, &error);
  explained->table = table;
  explained->question.is_tls = speaks_tls(question, explained->port);
  value_set_number(root, "port", number);
  write_addresses(root, explained, resolved, number);
  value_set_string(root, "domain", explained->question.domain);
  if (explained->question.client.is_set)
    value_set_string(root, "client_ip", ip_address_format(&explained->question.client, client));
  value_set_string(root, "tls_version", question->tls_version);
  write_tls(root, question, explained);
  if (explain_candidates(root, explained) == 0)
    return root;
  error_set(&error, ENOMEM, "no memory for the answer");
  return explain_refuse(root, 500, &error);
}

/* Of the files. Faults are told beside the answer, which is about the rest. */
static struct value *explain_files(struct runtime *runtime, const struct native_explain *question, struct value *root) {
  struct config config = {.path = NULL};
  struct config_overrides overrides = {question->config, question->routes, 0};
  struct fault_list faults = {.count = 0};
  struct loaded_routes loaded = {.file_count = 0};
  struct explained explained = {.clock = &runtime->clock};
  struct error error;
  struct loading loading = {.control = NULL};
  struct loader *loader = loader_new(&runtime->log, runtime->library, &error);
  struct value *found = value_set_table(root, "faults");
  if (!loader || loading_start(&loading, NULL, &runtime->log, loader, &error) != 0) {
    explain_refuse(root, 500, &error);
  } else if (loading_read_config(&loading, &overrides, false, &config, &faults) != 0) {
    report_faults(found, &faults, NULL);
    error_set(&error, EINVAL, "the config has faults");
    explain_refuse(root, 422, &error);
  } else {
    free(config.state); /* what an earlier run stored is not what the files say */
    config.state = NULL;
    loading.bound_ms = config.limits.load_time_ms;
    loading_load_routes(&loading, &config, 1, NULL, NULL, &loaded);
    report_faults(found, &loaded.faults, NULL);
    struct route_table *table = instance_make_table(NULL, NULL, &loaded, config.policy, &error);
    if (table)
      explain_table(root, question, table, NULL, &explained);
    else
      explain_refuse(root, 422, &error);
    route_table_unref(table);
    loaded_routes_clear(&loaded);
    config_clear(&config);
  }
  fault_list_clear(&faults);
  runtime->left_behind |= loading_deinit(&loading);
  loader_free(loader);
  return root;
}

struct value *explain_choice(void *context, const struct native_explain *question) {
  struct runtime *runtime = context;
  struct value *root = value_table();
  struct instance *instance = runtime->instance;
  if (question->offline)
    return explain_files(runtime, question, root);
  if (!instance || !instance->table) {
    struct error error;
    error_set(&error, EAGAIN, "moongate is starting or stopping");
    return explain_refuse(root, 503, &error);
  }
  struct explained explained = {.instance = instance, .clock = &runtime->clock};
  return explain_table(root, question, instance->table, instance->resolved, &explained);
}
