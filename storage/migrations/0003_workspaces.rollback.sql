DROP TABLE workspace_usage;

DROP TABLE workspaces;

DROP TABLE subscription_plans;
