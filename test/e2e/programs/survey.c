/*
 * Knows nothing of DRVS: plain C with the standard library. Computes for a while in several styles (integer, floating
 * point, recursion, heap, sorting, function pointers, text) and reports as it goes, so that any damage to memory, stack,
 * globals or heap shows in what it prints. Usage: survey [ROUNDS]
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static uint64_t seed = 0x9e3779b97f4a7c15u;

static uint64_t next_random(void) {
  seed ^= seed << 13;
  seed ^= seed >> 7;
  seed ^= seed << 17;
  return seed;
}

struct tree {
  uint32_t key;
  struct tree *left, *right;
};

static struct tree *insert(struct tree *node, uint32_t key) {
  if (node == NULL) {
    node = malloc(sizeof *node);
    if (node == NULL) exit(3);
    node->key = key;
    node->left = node->right = NULL;
  } else if (key < node->key) {
    node->left = insert(node->left, key);
  } else {
    node->right = insert(node->right, key);
  }
  return node;
}

static uint64_t weigh(const struct tree *node, unsigned depth) {
  return node == NULL ? 0 : weigh(node->left, depth + 1) + (uint64_t)node->key * depth + weigh(node->right, depth + 1);
}

static void fell(struct tree *node) {
  if (node == NULL) return;
  fell(node->left);
  fell(node->right);
  free(node);
}

static int queens(int size, int row, unsigned columns, unsigned up, unsigned down) {
  if (row == size) return 1;
  int found = 0;
  for (int column = 0; column < size; column++) {
    unsigned bit = 1u << column, rising = 1u << (row + column), falling = 1u << (row - column + size);
    if (columns & bit || up & rising || down & falling) continue;
    found += queens(size, row + 1, columns | bit, up | rising, down | falling);
  }
  return found;
}

static int ascending(const void *a, const void *b) {
  uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
  return (x > y) - (x < y);
}

static uint64_t sorted_digest(uint32_t count) {
  uint32_t *values = malloc(count * sizeof *values);
  if (values == NULL) exit(3);
  for (uint32_t i = 0; i < count; i++) values[i] = (uint32_t)next_random();
  qsort(values, count, sizeof *values, ascending);
  uint64_t digest = 1469598103934665603u;
  for (uint32_t i = 0; i < count; i++) digest = (digest ^ values[i]) * 1099511628211u;
  free(values);
  return digest;
}

static double settle(double x, int rounds) {
  for (int i = 0; i < rounds; i++) x = 3.9999 * x * (1.0 - x);
  return x;
}

int main(int argc, char **argv) {
  int rounds = argc > 1 ? atoi(argv[1]) : 10;
  char line[256];
  uint64_t total = 0;
  for (int round = 1; round <= rounds; round++) {
    struct tree *root = NULL;
    for (int i = 0; i < 20000; i++) root = insert(root, (uint32_t)next_random());
    uint64_t weight = weigh(root, 1);
    fell(root);
    uint64_t digest = sorted_digest(60000);
    double settled = settle(0.1 + 0.8 * (double)(next_random() % 1000) / 1000.0, 4000000);
    int solutions = queens(8 + round % 3, 0, 0, 0, 0);
    total = total * 31 + weight + digest + (uint64_t)solutions;
    snprintf(line, sizeof line, "round %d: tree %llu, sorted %016llx, settled %.15f, queens %d, total %016llx", round,
             (unsigned long long)weight, (unsigned long long)digest, settled, solutions, (unsigned long long)total);
    puts(line);
    fflush(stdout);
    if (round % 5 == 0) fprintf(stderr, "%d of %d rounds, %zu characters in the last line\n", round, rounds, strlen(line));
  }
  return (int)(total % 200);
}
