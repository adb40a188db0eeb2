// This file lets the tests of the package declare functions of Kustomize, which have their bodies elsewhere.
