import { graphql } from '@/gen/departments';

graphql(`
  fragment DepartmentFields on Tenant {
    id
    name
    quota {
      cpu
      memoryMiB
      diskGiB
    }
    used {
      cpu
      memoryMiB
      diskGiB
    }
  }
`);

/** What each department may have and holds. */
export const QuotasQuery = graphql(`
  query Quotas {
    tenants(first: 100) {
      nodes {
        ...DepartmentFields
      }
    }
  }
`);

export const DepartmentsQuery = graphql(`
  query Departments {
    tenants(first: 100) {
      nodes {
        ...DepartmentFields
      }
    }
    users(first: 500) {
      nodes {
        id
        name
        role
        tenant
        createdAt
      }
    }
  }
`);

export const CreateDepartmentMutation = graphql(`
  mutation CreateDepartment($name: String!, $quota: QuotaInput) {
    createTenant(name: $name, quota: $quota) {
      id
      name
    }
  }
`);

export const CreateUserMutation = graphql(`
  mutation CreateUser($input: CreateUserInput!) {
    createUser(input: $input) {
      id
      name
      password
    }
  }
`);
