/* SPDX-License-Identifier: MIT
 *
 * resolv.conf and hosts as people, DHCP clients and editors write them, and how a change of them is noticed. */
#include "names/dns_files.h"

#include "../support/scratch.h"

#include <arpa/inet.h>
#include <utime.h>

struct fixture {
  struct scratch scratch;
  char resolv_conf[256], hosts[256];
  struct dns_files *files;
};

static int setup(void **state) {
  struct fixture *fixture = calloc(1, sizeof *fixture);
  assert_non_null(fixture);
  scratch_init(&fixture->scratch);
  strcpy(fixture->resolv_conf, scratch_path(&fixture->scratch, "resolv.conf"));
  strcpy(fixture->hosts, scratch_path(&fixture->scratch, "hosts"));
  unsetenv("LOCALDOMAIN");
  unsetenv("RES_OPTIONS");
  *state = fixture;
  return 0;
}

static int teardown(void **state) {
  struct fixture *fixture = *state;
  dns_files_unref(fixture->files);
  remove_tree(fixture->scratch.directory);
  free(fixture);
  return 0;
}

static void read_files(struct fixture *fixture, const char *resolv_conf, const char *hosts) {
  scratch_write(&fixture->scratch, "resolv.conf", resolv_conf);
  scratch_write(&fixture->scratch, "hosts", hosts);
  dns_files_unref(fixture->files);
  fixture->files = dns_files_read(fixture->resolv_conf, fixture->hosts);
  assert_non_null(fixture->files);
}

/* The names under which one is asked for, with blanks between. */
static const char *candidates_of(const struct fixture *fixture, const char *name, char all[1024]) {
  char text[512];
  all[0] = '\0';
  for (unsigned i = 0; dns_files_candidate(fixture->files, name, strlen(name), i, text, sizeof text) == 0; i++) {
    strcat(all, i ? " " : "");
    strcat(all, text);
  }
  return all;
}

static void servers_and_options_are_read(void **state) {
  struct fixture *fixture = *state;
  char all[1024];
  read_files(fixture,
             "# by hand\n; too\n\nnameserver 192.0.2.1\r\nnameserver\t2001:db8::1 # second\nnameserver dns.example\n"
             "nameserver fe80::1%eth0\nnameserver\nsearch A.example b.example. c..example\n"
             "options ndots:2 rotate use-vc timeout:1\nsortlist 10.0.0.0\nnameserver 192.0.2.3",
             "");
  assert_string_equal(dns_files_servers(fixture->files), "192.0.2.1,2001:db8::1,192.0.2.3");
  assert_true(dns_files_rotate(fixture->files));
  assert_true(dns_files_use_tcp(fixture->files));
  assert_string_equal(candidates_of(fixture, "db", all), "db.a.example db.b.example. db");
  assert_string_equal(candidates_of(fixture, "db.x", all), "db.x.a.example db.x.b.example. db.x");
  assert_string_equal(candidates_of(fixture, "db.x.y", all), "db.x.y db.x.y.a.example db.x.y.b.example.");
  assert_string_equal(candidates_of(fixture, "db.x.", all), "db.x.");
}

static void what_is_not_there_has_defaults(void **state) {
  struct fixture *fixture = *state;
  fixture->files = dns_files_read(fixture->resolv_conf, fixture->hosts);
  assert_string_equal(dns_files_servers(fixture->files), "127.0.0.1");
  assert_false(dns_files_rotate(fixture->files));
  assert_null(dns_files_host(fixture->files, "a", 1));
}

static void the_environment_is_stronger(void **state) {
  struct fixture *fixture = *state;
  char all[1024];
  setenv("LOCALDOMAIN", "c.example", 1);
  setenv("RES_OPTIONS", "ndots:0", 1);
  read_files(fixture, "search a.example\noptions ndots:3\n", "");
  assert_string_equal(candidates_of(fixture, "db", all), "db db.c.example");
}

static void too_many_servers_and_domains_are_cut(void **state) {
  struct fixture *fixture = *state;
  char text[4096] = "", line[64], all[1024];
  for (int i = 0; i < 40; i++) {
    snprintf(line, sizeof line, "nameserver 192.0.2.%d\n", i);
    strcat(text, line);
  }
  strcat(text, "search");
  for (int i = 0; i < 40; i++) {
    snprintf(line, sizeof line, " d%d.example", i);
    strcat(text, line);
  }
  read_files(fixture, text, "");
  assert_string_equal(dns_files_servers(fixture->files), "192.0.2.0,192.0.2.1,192.0.2.2,192.0.2.3,192.0.2.4,192.0.2.5,"
                                                         "192.0.2.6,192.0.2.7");
  assert_string_equal(candidates_of(fixture, "a", all),
                      "a.d0.example a.d1.example a.d2.example a.d3.example a.d4.example a.d5.example a");
}

static unsigned host_count(const struct fixture *fixture, const char *name) {
  const struct dns_host *host = dns_files_host(fixture->files, name, strlen(name));
  return host ? host->count : 0;
}

static void hosts_have_the_addresses_of_all_their_lines(void **state) {
  struct fixture *fixture = *state;
  read_files(fixture, "",
             "127.0.0.1 localhost\n192.0.2.1\tDb.Example  db # ours\n#192.0.2.2 db\n2001:db8::1 db\n"
             "nonsense db\n192.0.2.3\n  192.0.2.4 indented bad/name other\n192.0.2.5 last");
  assert_int_equal(host_count(fixture, "db"), 2);
  assert_int_equal(host_count(fixture, "db.example"), 1);
  assert_int_equal(host_count(fixture, "db.example."), 1);
  assert_int_equal(host_count(fixture, "indented"), 1);
  assert_int_equal(host_count(fixture, "other"), 1);
  assert_int_equal(host_count(fixture, "last"), 1);
  assert_int_equal(host_count(fixture, "ours"), 0);
  assert_int_equal(host_count(fixture, "#"), 0);
  const struct dns_host *db = dns_files_host(fixture->files, "db", 2);
  assert_int_equal(db->addresses[0].in.sin_addr.s_addr, htonl(0xc0000201));
  assert_int_equal(db->addresses[1].sockaddr.sa_family, AF_INET6);
}

static void a_host_of_very_many_lines_is_cut(void **state) {
  struct fixture *fixture = *state;
  enum { LINES = 50000 };
  char *text = malloc(LINES * 32), *at = text;
  assert_non_null(text);
  for (int i = 0; i < LINES; i++)
    at += sprintf(at, "10.0.%d.%d many n%d\n", i / 250 % 250, i % 250, i);
  read_files(fixture, "", text);
  free(text);
  assert_int_equal(host_count(fixture, "many"), HOST_ADDRESSES_MAX);
  assert_int_equal(host_count(fixture, "n49999"), 1);
}

/* As if it had been written a while ago: the file system's clock has gone on since. */
static void age(const char *path) {
  struct utimbuf times = {.actime = 1000000000, .modtime = 1000000000};
  assert_int_equal(utime(path, &times), 0);
}

/* True: it was another. */
static bool renew(struct fixture *fixture) {
  struct dns_files *now = dns_files_renew(fixture->files);
  if (!now)
    return false;
  bool differ = !dns_files_say_same(now, fixture->files);
  dns_files_unref(fixture->files);
  fixture->files = now;
  return differ;
}

static void a_change_of_either_file_is_noticed(void **state) {
  struct fixture *fixture = *state;
  read_files(fixture, "nameserver 192.0.2.1\n", "192.0.2.9 a\n");
  age(fixture->resolv_conf);
  assert_false(renew(fixture));
  scratch_write(&fixture->scratch, "resolv.conf", "nameserver 192.0.2.2\n"); /* of the same size */
  assert_true(renew(fixture));
  assert_string_equal(dns_files_servers(fixture->files), "192.0.2.2");
  assert_false(renew(fixture));
  scratch_write(&fixture->scratch, "new", "192.0.2.9 b\n");
  char from[256];
  strcpy(from, scratch_path(&fixture->scratch, "new"));
  assert_int_equal(rename(from, fixture->hosts), 0);
  assert_true(renew(fixture));
  assert_int_equal(host_count(fixture, "b"), 1);
  assert_int_equal(host_count(fixture, "a"), 0);
}

static void a_file_that_is_being_written_changes_nothing(void **state) {
  struct fixture *fixture = *state;
  read_files(fixture, "nameserver 192.0.2.1\n", "192.0.2.9 a\n");
  scratch_write(&fixture->scratch, "resolv.conf", "");
  unlink(fixture->hosts);
  assert_false(renew(fixture));
  assert_false(renew(fixture));
  assert_string_equal(dns_files_servers(fixture->files), "192.0.2.1");
  assert_int_equal(host_count(fixture, "a"), 1);
  assert_true(renew(fixture)); /* it is meant */
  assert_string_equal(dns_files_servers(fixture->files), "127.0.0.1");
  assert_int_equal(host_count(fixture, "a"), 0);
  scratch_write(&fixture->scratch, "resolv.conf", "nameserver 192.0.2.1\n");
  assert_true(renew(fixture));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void) {
  const struct CMUnitTest tests[] = {
      TEST(servers_and_options_are_read),
      TEST(what_is_not_there_has_defaults),
      TEST(the_environment_is_stronger),
      TEST(too_many_servers_and_domains_are_cut),
      TEST(hosts_have_the_addresses_of_all_their_lines),
      TEST(a_host_of_very_many_lines_is_cut),
      TEST(a_change_of_either_file_is_noticed),
      TEST(a_file_that_is_being_written_changes_nothing),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
