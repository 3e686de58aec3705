#include "harness/cli/cli.hpp"

int main(int argc, char** argv) { return faultline::harness::cli::run(argc, argv); }
