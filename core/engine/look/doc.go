// Package look observes the world and plans the instances: Planner.Look plans all of them, and Planner.One plans a managed one again while
// a plan is carried out.
package look
